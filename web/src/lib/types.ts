// The objects of docs/app-api.md, as they travel.

export interface Settings {
  model?: string;
  system?: string;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  repeat_penalty?: number;
  presence_penalty?: number;
  frequency_penalty?: number;
  seed?: number;
  tokens_max?: number;
  think?: boolean;
  think_budget?: number;
  stop?: string[];
}

export interface Segment {
  text: string;
  started_at_ms: number;
  ms: number | null; // while it runs
}

export interface Usage {
  prompt_tokens: number;
  cached_tokens: number;
  answer_tokens: number;
  reasoning_tokens: number;
  prompt_ms: number;
  answer_ms: number;
  drafted_tokens: number;
  accepted_tokens: number;
}

export interface Attachment {
  id: string;
  name: string;
  media_type: string;
  bytes: number;
  kind: 'text' | 'pdf' | 'image';
  chars: number;
  truncated: boolean;
}

export type Status = 'complete' | 'running' | 'stopped' | 'failed' | 'interrupted';

export interface Message {
  id: string;
  conversation_id: string;
  parent_id: string | null;
  role: 'user' | 'assistant';
  status: Status;
  content: string;
  thinking: Segment[];
  thinking_closed: boolean;
  generation_id: string | null;
  error: string | null;
  model: string | null;
  settings: Settings;
  finish_reason: string | null;
  usage: Usage | null;
  attachments: Attachment[];
  created_at_ms: number;
  finished_at_ms: number | null;
  kind: 'message' | 'summary';
}

// Of the stream of events: a message that is new, or has another status.
export interface MessageEvent {
  conversation_id: string;
  message_id: string;
  status: Status;
}

export interface Conversation {
  id: string;
  title: string;
  title_is_own: boolean;
  folder_id: string | null;
  pinned: boolean;
  archived: boolean;
  settings: Settings;
  leaf_id: string | null;
  created_at_ms: number;
  updated_at_ms: number;
  message_count: number;
}

export interface Folder {
  id: string;
  name: string;
  position: number;
}

export interface Preset {
  id: string;
  name: string;
  settings: Settings;
  position: number;
}

export interface Progress {
  phase: string;
  done: number;
  total: number;
  rate: number;
  seconds_left: number | null;
}

export interface ModelMemory {
  weights: number;
  kv_cache: number;
  activations: number;
  budget: number;
  kv_cache_tokens: number;
}

export interface Model {
  name: string;
  present: boolean;
  loaded: boolean;
  state: 'absent' | 'pulling' | 'present' | 'loading' | 'loaded' | 'failed';
  progress: Progress | null;
  error: string | null;
  file_bytes: number;
  memory_bytes: number;
  parameters: number | null; // this and what follows: null where the file is not here
  quantisation: string | null;
  family: string | null;
  licence: string;
  description: string;
  context_tokens: number | null;
  thinks: boolean;
  can_choose_thinking: boolean;
  takes_tools: boolean;
  sees_images: boolean;
  is_default: boolean;
  default_settings: Settings | null;
  sampling_source: string | null;
  memory: ModelMemory | null;
}

export interface Memory {
  budget: number;
  used: number;
  process: number;
}

export interface Preferences {
  theme?: 'system' | 'light' | 'dark';
  settings?: Settings; // of new conversations
  enter_sends?: boolean;
  single_keys?: boolean;
  thinking_open?: boolean;
}

export interface State {
  version: string;
  build: string;
  default_model: string | null;
  models: Model[];
  folders: Folder[];
  presets: Preset[];
  preferences: Preferences;
  memory: Memory;
  needs_key: boolean;
  efforts: Effort[];
  notices?: string[]; // to be shown until they are closed
  limits: { attachment_bytes_max: number; message_bytes_max: number };
}

// How long a model may think.
export interface Effort {
  name: string;
  think_budget: number | null; // as long as it takes
}

export interface Context {
  tokens: number;
  context_tokens: number;
  cached_tokens: number;
  model: string;
}

export interface Hit {
  conversation_id: string;
  message_id: string | null; // null, and the role, where it is in the title
  title: string;
  role: 'user' | 'assistant' | null;
  snippet: { text: string; hit: boolean }[];
  created_at_ms: number;
}

export interface Imported {
  format: string;
  conversations: number;
  messages: number;
  skipped: { title: string; why: string }[];
}

export interface System {
  uptime_ms: number;
  requests: { running: number; waiting: number };
  tokens_per_s: number;
  memory: Memory;
  models: Model[];
}

// A training on this machine.
export interface Run {
  name: string;
  running: boolean;
  metrics_bytes: number;
  updated_at_ms: number;
}
