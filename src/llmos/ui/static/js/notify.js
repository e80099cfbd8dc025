// The bell counts what is unread while the page stays open, and news shows as a toast.
// Only a page in view keeps a connection: browsers allow six to one server.
const bell = document.querySelector("[data-live]");
let news = null;
const setUnread = (count) => {
  const badge = bell.querySelector("[data-bell-count]");
  badge.textContent = count > 99 ? "99+" : String(count);
  badge.hidden = count === 0;
};
const showNews = ({ text, title, href }) => {
  const toasts = document.querySelector("[data-toasts]");
  if (!toasts) return;
  const toast = document.createElement("div");
  toast.className = "toast toast-info";
  toast.dataset.dismissable = "";
  toast.append(bell.querySelector("svg").cloneNode(true));
  const words = document.createElement("p");
  const link = document.createElement("a");
  // Only a path of this site: "//host" and other schemes would lead elsewhere.
  link.href = /^\/(?!\/)/.test(href) ? href : "/notifications";
  link.textContent = title || text;
  words.append(title ? `${text}: ` : "", link);
  const close = document.createElement("button");
  close.type = "button";
  close.className = "btn btn-quiet btn-icon";
  close.dataset.dismiss = "";
  close.setAttribute("aria-label", toasts.dataset.closeLabel);
  close.textContent = "×";
  toast.append(words, close);
  toasts.append(toast);
  while (toasts.children.length > 4) toasts.firstElementChild.remove();
  setTimeout(() => toast.remove(), 12000);
};
const listen = () => {
  if (document.visibilityState !== "visible") {
    news?.close();
    news = null;
  } else if (!news) {
    news = new EventSource(bell.dataset.live);
    news.addEventListener("unread", (event) => setUnread(JSON.parse(event.data).unread));
    news.addEventListener("news", (event) => {
      const data = JSON.parse(event.data);
      setUnread(data.unread);
      showNews(data);
    });
  }
};
if (bell) {
  document.addEventListener("visibilitychange", listen);
  addEventListener("pagehide", () => news?.close());
  listen();
}
