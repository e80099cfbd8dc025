"""What answers: models in this process (`local`, `heads`) and behind an address (`endpoint`)."""
