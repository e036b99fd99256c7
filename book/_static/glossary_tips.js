// Shows the definition of a linked term on hover, on focus and on the first tap; Escape hides it.
(() => {
  const terms = window.glossaryTerms || {};
  const tip = document.createElement("div");
  tip.id = "glossary-tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);
  let shown = null; // the link whose definition is shown
  let leaving = 0; // a timer: the pointer may travel from the link to the tip
  let tap = null; // the last touch: whether its link's definition was shown already

  const anchor = (link) => decodeURIComponent(link.hash.slice(1));
  const linkAt = (target) => {
    const link = target instanceof Element ? target.closest("a.reference") : null;
    return link && link.querySelector(".std-term") && anchor(link) in terms ? link : null;
  };

  const hide = () => {
    clearTimeout(leaving);
    if (shown) shown.removeAttribute("aria-describedby");
    shown = null;
    tip.hidden = true;
  };

  const show = (link) => {
    clearTimeout(leaving);
    if (shown === link) return;
    hide();
    shown = link;
    tip.innerHTML = terms[anchor(link)];
    tip.hidden = false;
    link.setAttribute("aria-describedby", tip.id);
    const line = link.getClientRects()[0]; // the first, where a link is broken over two lines
    const last = link.getClientRects()[link.getClientRects().length - 1];
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    const above = line.top - tip.offsetHeight - 4;
    const below = last.bottom + 4;
    const fits = below + tip.offsetHeight <= window.innerHeight || above < 0;
    tip.style.left = `${Math.max(8, Math.min(line.left, room)) + window.scrollX}px`;
    tip.style.top = `${(fits ? below : above) + window.scrollY}px`;
  };

  document.addEventListener("pointerover", (event) => {
    const link = linkAt(event.target);
    if (event.pointerType === "touch") return;
    if (link) show(link);
    else if (tip.contains(event.target)) clearTimeout(leaving);
  });
  document.addEventListener("pointerout", (event) => {
    if (event.pointerType === "touch" || !shown) return;
    if (!shown.contains(event.target) && !tip.contains(event.target)) return;
    clearTimeout(leaving);
    leaving = setTimeout(hide, 250);
  });
  document.addEventListener("focusin", (event) => {
    const link = linkAt(event.target);
    if (link) show(link);
  });
  document.addEventListener("focusout", (event) => {
    if (linkAt(event.target) === shown) hide();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener("pointerdown", (event) => {
    const link = linkAt(event.target);
    tap = event.pointerType === "touch" && link ? { seen: link === shown } : null;
    if (!link && !tip.contains(event.target)) hide();
  });
  document.addEventListener("click", (event) => {
    const link = linkAt(event.target);
    if (!link || !tap || tap.seen) return;
    event.preventDefault(); // the first tap explains, the second follows the link
    show(link);
  });
})();
