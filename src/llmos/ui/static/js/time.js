// Relative times go on being true while the page stays open; same words as the server's (CLDR).
const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "always" });
const steps = [["year", 31557600], ["month", 2629800], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60]];
const refreshTimes = () => {
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const seconds = (new Date(time.dateTime) - Date.now()) / 1000;
    if (Math.abs(seconds) > 172800) continue;
    const [unit, size] = steps.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
    time.textContent = words
      .format(Math.round(seconds / size), unit)
      .replace(/(?<=[0-9])(?=[\u4e00-\u9fff])/g, " ");
  }
};
setInterval(refreshTimes, 60000);
