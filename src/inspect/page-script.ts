/**
 * Shows what is known of the region that has the focus or lies below the pointer, and lets the arrow keys walk the map.
 * Without it, following a region's link shows the same.
 */
export const PAGE_SCRIPT = `
for (const guest of document.querySelectorAll('.guest')) {
  const links = [...guest.querySelectorAll('a.region')];
  const show = (link) => {
    for (const shown of guest.querySelectorAll('.shown')) shown.classList.remove('shown');
    link.classList.add('shown');
    document.getElementById(link.getAttribute('href').slice(1)).classList.add('shown');
  };
  guest.classList.add('live');
  links.forEach((link, index) => {
    link.addEventListener('focus', () => show(link));
    link.addEventListener('pointerenter', () => show(link));
    link.addEventListener('click', (event) => { event.preventDefault(); link.focus(); show(link); });
    link.addEventListener('keydown', (event) => {
      const target = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: links.length - 1 }[event.key];
      if (target === undefined || links[target] === undefined) return;
      event.preventDefault();
      links[target].focus();
    });
  });
}
`;
