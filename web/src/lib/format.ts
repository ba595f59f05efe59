// Numbers, and what the server says, as people read them.

// A chat that began with nothing that could name it.
export function title_of(chat: { title: string }): string {
  return chat.title.trim() || 'New chat';
}

// The server's sentences end with the way out; one that leads through a terminal is not this page's.
export function without_terminal(text: string): string {
  return text.replace(
    /[:;,] [^:;]*(?:\b(?:same )?command\b|\.\/run\b|\bminke [a-z]|--[a-z]).*$/s,
    '.',
  );
}

export function bytes(n: number): string {
  if (n < 1000) return `${n} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = n;
  let unit = -1;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function count(n: number): string {
  if (n < 10_000) return n.toLocaleString('en');
  if (n < 999_500) return `${Math.round(n / 1000)}k`;
  return `${(n / 1e6).toFixed(1)}M`;
}

// Sizes of contexts are powers of two more often than not, and known by those: 32k, 128k.
export function context_size(tokens: number): string {
  return tokens >= 8192 && tokens % 1024 === 0 ? `${tokens / 1024}k` : count(tokens);
}

export function parameters(n: number): string {
  if (n >= 1e9) return `${(n / 1e9).toFixed(n < 1e10 ? 1 : 0)}B`;
  return `${Math.round(n / 1e6)}M`;
}

export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const hours = Math.floor(seconds / 3600);
  if (hours < 48) return `${hours} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(hours / 24)} days`;
}

export function thought_for(ms: number): string {
  return ms < 950 ? 'less than a second' : duration(Math.round(ms / 1000) * 1000);
}

export function rate(tokens_per_s: number): string {
  return `${tokens_per_s < 10 ? tokens_per_s.toFixed(1) : Math.round(tokens_per_s)} tok/s`;
}

const day_ms = 86_400_000;

// A model asked for by a name of one's own, that could not be had.
export function was_vain(model: { state: string; present: boolean; file_bytes: number }): boolean {
  return model.state === 'failed' && !model.present && model.file_bytes === 0;
}

// The heading a conversation stands under in the list.
export function age_group(at_ms: number, now_ms: number): string {
  const midnight = new Date(now_ms).setHours(0, 0, 0, 0);
  if (at_ms >= midnight) return 'Today';
  if (at_ms >= midnight - day_ms) return 'Yesterday';
  if (at_ms >= midnight - 7 * day_ms) return 'Last seven days';
  if (at_ms >= midnight - 30 * day_ms) return 'Last thirty days';
  return 'Older';
}

export function moment(at_ms: number): string {
  return new Date(at_ms).toLocaleString(undefined, {
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
  });
}
