/**
 * The script of the page. It turns the links to platforms into tabs, and arrow keys move through tabs and maps. A region is described
 * while it has the focus; on a wide screen also while the pointer is over it, and there the region where the guest starts is described
 * first. The address of the page follows the chosen region. Buttons copy digests.
 * Without the script, all platforms are shown one below the other, and the link of a region shows its description.
 */
export const PAGE_SCRIPT = `
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const platforms = all('.platform');
const tabs = all('.tabs a');
const targetOf = (link) => document.getElementById(link.getAttribute('href').slice(1));
const remember = (hash) => history.replaceState(null, '', hash);
const open = (platform) => {
  platforms.forEach((each) => each.classList.toggle('closed', each !== platform));
  tabs.forEach((tab) => {
    const isOpen = targetOf(tab) === platform;
    tab.setAttribute('aria-selected', isOpen);
    tab.tabIndex = isOpen ? 0 : -1;
  });
};
const walk = (links, keys) => links.forEach((link, index) => link.addEventListener('keydown', (event) => {
  const target = links[{ [keys[0]]: index - 1, [keys[1]]: index + 1, Home: 0, End: links.length - 1 }[event.key]];
  if (!target) return;
  event.preventDefault();
  target.focus();
}));
const hide = (guest) => { for (const shown of all('.shown', guest)) shown.classList.remove('shown'); };
const show = (link) => {
  hide(link.closest('.guest'));
  link.classList.add('shown');
  targetOf(link).classList.add('shown');
};
const wide = matchMedia('(min-width: 1081px)');
const follow = () => {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  const platform = target && target.closest('.platform');
  if (!platform) return;
  open(platform);
  if (target === platform) return platform.scrollIntoView();
  const link = all('a.region', platform).find((each) => targetOf(each) === target);
  if (link) { show(link); link.scrollIntoView({ block: 'center' }); }
};
document.documentElement.classList.add('live');
if (tabs.length > 0) {
  const list = document.querySelector('.tabs');
  list.setAttribute('role', 'tablist');
  tabs.forEach((tab) => {
    const panel = targetOf(tab);
    tab.id = 'tab-' + panel.id;
    tab.setAttribute('role', 'tab');
    tab.setAttribute('aria-controls', panel.id);
    panel.setAttribute('role', 'tabpanel');
    tab.addEventListener('focus', () => open(panel));
    tab.addEventListener('click', (event) => { event.preventDefault(); open(panel); remember('#' + panel.id); });
    tab.addEventListener('keydown', (event) => { if (event.key === ' ') { event.preventDefault(); tab.click(); } });
  });
  walk(tabs, ['ArrowLeft', 'ArrowRight']);
  open(platforms[0]);
}
for (const guest of all('.guest')) {
  const links = all('a.region', guest);
  for (const link of links) {
    link.addEventListener('focus', () => show(link));
    link.addEventListener('pointerenter', (event) => { if (event.pointerType === 'mouse' && wide.matches) show(link); });
    link.addEventListener('click', (event) => {
      event.preventDefault();
      link.focus();
      show(link);
      remember(link.getAttribute('href'));
    });
  }
  walk(links, ['ArrowUp', 'ArrowDown']);
  const startsGuest = (link) => all('.chip', link).some((chip) => ['rip', 'pc'].includes(chip.textContent));
  if (wide.matches) show(links.find(startsGuest) ?? links[0]);
  const close = () => {
    const link = guest.querySelector('a.shown');
    hide(guest);
    link?.focus({ preventScroll: true });
    hide(guest);
  };
  guest.querySelector('.close').addEventListener('click', close);
  guest.addEventListener('keydown', (event) => { if (event.key === 'Escape' && !wide.matches) close(); });
}
for (const button of all('.copy')) {
  button.addEventListener('click', async () => {
    const digest = button.parentNode.querySelector('code');
    try {
      await navigator.clipboard.writeText(digest.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(digest);
      button.textContent = document.execCommand('copy') ? 'Copied' : 'Selected';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 2000);
  });
}
addEventListener('hashchange', follow);
follow();
`;
