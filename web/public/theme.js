// Before the first paint, so that a theme chosen by hand never flashes the other one.
try {
  const theme = localStorage.getItem('minke.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; the system's theme is then right.
}
