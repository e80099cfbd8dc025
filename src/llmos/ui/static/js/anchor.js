// Headings of user text have prefixed ids; "#usage" finds them all the same.
const findAnchor = () => {
  const id = decodeURIComponent(location.hash.slice(1));
  if (!id || document.getElementById(id)) return;
  document.getElementById(`user-content-${id}`)?.scrollIntoView();
};
addEventListener("hashchange", findAnchor);
findAnchor();
