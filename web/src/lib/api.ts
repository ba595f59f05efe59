// A typed client of docs/app-api.md. Every call throws ApiError with a sentence for people.

import { Gone } from './sse';
import type { MetricLine } from './training';
import type * as T from './types';

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number, // 0: no answer came
    readonly param: string | null = null,
    readonly retry_after_s: number | null = null,
  ) {
    super(message);
  }
}

const key_name = 'minke.key';
let key = read_key();
let ask_for_key: () => void = () => {};

function read_key(): string {
  try {
    return localStorage.getItem(key_name) ?? '';
  } catch {
    return '';
  }
}

export function set_key(value: string): void {
  key = value.trim();
  try {
    if (key) localStorage.setItem(key_name, key);
    else localStorage.removeItem(key_name);
  } catch {
    // It is then kept for this page only.
  }
}

export function has_key(): boolean {
  return key !== '';
}

export function on_key_needed(ask: () => void): void {
  ask_for_key = ask;
}

function headers(type?: string): HeadersInit {
  const fields: Record<string, string> = {};
  if (key) fields.Authorization = `Bearer ${key}`;
  if (type) fields['Content-Type'] = type;
  return fields;
}

async function fault_of(response: Response): Promise<ApiError> {
  const body = await response.json().catch(() => null);
  const error = body?.error;
  const message =
    typeof error?.message === 'string' ? error.message : `the server answered ${response.status}`;
  const retry = Number(response.headers.get('Retry-After'));
  return new ApiError(message, response.status, error?.param ?? null, retry > 0 ? retry : null);
}

async function ask(method: string, path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`/app/v1${path}`, { method, ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError('minke cannot be reached. Is the server still running?', 0);
  }
  if (response.ok) return response;
  if (response.status === 401) ask_for_key();
  throw await fault_of(response);
}

async function get<R>(path: string, signal?: AbortSignal): Promise<R> {
  return (await ask('GET', path, { headers: headers(), signal })).json();
}

async function send<R>(method: string, path: string, body: unknown = {}): Promise<R> {
  if (method === 'DELETE') {
    await ask(method, path, { headers: headers() });
    return undefined as R;
  }
  const response = await ask(method, path, {
    headers: headers('application/json'),
    body: JSON.stringify(body),
  });
  return response.status === 204 ? (undefined as R) : response.json();
}

async function stream(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  try {
    const response = await ask('GET', path, { headers: headers(), signal });
    if (!response.body) throw new ApiError('the stream is empty', 0);
    return response.body;
  } catch (error) {
    const status = error instanceof ApiError ? error.status : 0;
    if (status === 404 || status === 410 || status === 401) throw new Gone(String(status));
    throw error;
  }
}

function query(values: Record<string, string | number | boolean | null | undefined>): string {
  const entries = Object.entries(values).filter(
    ([, value]) => value !== undefined && value !== null,
  );
  return entries.length === 0
    ? ''
    : `?${new URLSearchParams(entries.map(([name, value]) => [name, String(value)]))}`;
}

// A file that must be fetched with the key is fetched whole and then handed to the browser.
async function save(path: string, name: string): Promise<void> {
  const response = await ask('GET', path, { headers: headers() });
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// Browsers send a request again by themselves when a kept connection breaks under it. What makes
// something therefore says which time it is, and the server makes it once.
function once<B extends object>(body: B): B & { once: string } {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return {
    ...body,
    once: Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(''),
  };
}

const segment = encodeURIComponent;
type ConversationPatch = Partial<
  Pick<T.Conversation, 'title' | 'folder_id' | 'pinned' | 'archived' | 'settings' | 'leaf_id'>
>;

export const api = {
  state: () => get<T.State>('/state'),
  events: (signal: AbortSignal) => stream('/events', signal),
  system: () => get<T.System>('/system'),
  runs: () => get<{ folder: string; runs: T.Run[] }>('/runs'),
  run_metrics: (name: string, from: number) =>
    get<{ from: number; next: number; lines: MetricLine[] }>(
      `/runs/${segment(name)}/metrics${query({ from })}`,
    ),

  conversations: (q: { folder?: string; archived?: boolean; before?: string; limit?: number }) =>
    get<{ conversations: T.Conversation[]; next: string | null }>(`/conversations${query(q)}`),
  create: (body: { title?: string; folder_id?: string | null; settings?: T.Settings }) =>
    send<T.Conversation>('POST', '/conversations', once(body)),
  conversation: (id: string) =>
    get<{ conversation: T.Conversation; messages: T.Message[] }>(`/conversations/${id}`),
  patch: (id: string, body: ConversationPatch) =>
    send<T.Conversation>('PATCH', `/conversations/${id}`, body),
  remove: (id: string) => send<void>('DELETE', `/conversations/${id}`),

  say: (
    id: string,
    body: {
      parent_id: string | null;
      content: string;
      attachments: string[];
      settings?: T.Settings;
      generate: boolean;
    },
  ) =>
    send<{ message: T.Message; answer: T.Message | null }>(
      'POST',
      `/conversations/${id}/messages`,
      once(body),
    ),
  answers: (id: string, body: { parent_id: string; settings?: T.Settings; count: number }) =>
    send<{ answers: T.Message[] }>('POST', `/conversations/${id}/answers`, once(body)),
  go_on: (id: string, message_id: string) =>
    send<{ answer: T.Message }>('POST', `/conversations/${id}/continue`, { message_id }),
  compact: (id: string, leaf_id: string, settings?: T.Settings) =>
    send<{ answer: T.Message }>(
      'POST',
      `/conversations/${id}/compaction`,
      once({ leaf_id, settings }),
    ),
  context: (id: string, leaf: string, signal?: AbortSignal) =>
    get<T.Context>(`/conversations/${id}/context${query({ leaf })}`, signal),
  remove_message: (id: string, keep_below: boolean) =>
    send<void>('DELETE', `/messages/${id}${query({ below: keep_below ? 'keep' : null })}`),
  generation: (id: string, after: number, signal: AbortSignal) =>
    stream(`/generations/${id}/events${query({ after })}`, signal),
  stop: (id: string) => send<void>('POST', `/generations/${id}/stop`),

  search: (q: string, limit: number, signal?: AbortSignal) =>
    get<{ hits: T.Hit[] }>(`/search${query({ q, limit })}`, signal),

  folders: () => get<{ folders: T.Folder[] } | T.Folder[]>('/folders'),
  create_folder: (name: string) => send<T.Folder>('POST', '/folders', { name }),
  patch_folder: (id: string, body: Partial<T.Folder>) =>
    send<T.Folder>('PATCH', `/folders/${id}`, body),
  remove_folder: (id: string) => send<void>('DELETE', `/folders/${id}`),

  create_preset: (name: string, settings: T.Settings) =>
    send<T.Preset>('POST', '/presets', { name, settings }),
  patch_preset: (id: string, body: Partial<T.Preset>) =>
    send<T.Preset>('PATCH', `/presets/${id}`, body),
  remove_preset: (id: string) => send<void>('DELETE', `/presets/${id}`),

  put_preferences: (preferences: T.Preferences) =>
    send<T.Preferences>('PUT', '/preferences', preferences),

  attach: async (file: File): Promise<T.Attachment> =>
    (
      await ask('POST', `/attachments${query({ name: file.name || 'pasted.txt' })}`, {
        headers: headers(file.type || 'application/octet-stream'),
        body: file,
      })
    ).json(),
  attachment: async (id: string): Promise<Blob> =>
    (await ask('GET', `/attachments/${id}`, { headers: headers() })).blob(),
  save_attachment: (a: T.Attachment) => save(`/attachments/${a.id}`, a.name),

  model: (name: string, what: 'pull' | 'load' | 'unload' | 'stop') =>
    send<T.Model>('POST', `/models/${segment(name)}/${what}`),
  remove_model: (name: string) => send<void>('DELETE', `/models/${segment(name)}`),

  save_export: (conversation: string | null, name: string) =>
    save(`/export${query({ conversation })}`, name),
  import_file: async (file: File): Promise<T.Imported> =>
    (await ask('POST', '/import', { headers: headers('application/json'), body: file })).json(),
  save_backup: (name: string) => save('/backup', name),
};
