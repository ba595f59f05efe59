// Models and conversations for the mock to start with.

import { answer_to } from './answers.mjs';

const settings = { temperature: 0.7, top_p: 0.8, top_k: 20, repeat_penalty: 1.05 };

function model(name, fields) {
  return {
    name,
    present: false,
    loaded: false,
    state: fields.present ? 'present' : 'absent',
    progress: null,
    error: null,
    file_bytes: 1_117_000_000,
    memory_bytes: 1_900_000_000,
    parameters: 1_540_000_000,
    quantisation: 'Q4_K_M',
    family: 'qwen2',
    licence: 'Apache-2.0',
    description: '',
    context_tokens: 32_768,
    thinks: false,
    can_choose_thinking: false,
    takes_tools: true,
    sees_images: false,
    is_default: false,
    default_settings: settings,
    sampling_source: 'generation_config.json',
    memory: null,
    ...fields,
  };
}

export function mock_models() {
  return [
    model('qwen3:4b', {
      present: true,
      loaded: true,
      state: 'loaded',
      is_default: true,
      thinks: true,
      can_choose_thinking: true,
      family: 'qwen3',
      parameters: 4_020_000_000,
      file_bytes: 2_500_000_000,
      memory_bytes: 4_300_000_000,
      description: 'Thinks when it helps; good at mathematics and code.',
      memory: {
        weights: 2_500_000_000,
        kv_cache: 1_600_000_000,
        activations: 200_000_000,
        budget: 12_000_000_000,
        kv_cache_tokens: 32_768,
      },
    }),
    model('qwen2.5-coder:1.5b', { present: true, description: 'Small and quick, for code.' }),
    model('seer:2b', { present: true, sees_images: true, description: 'Looks at pictures.' }),
    model('deepseek-r1:7b', {
      thinks: true,
      file_bytes: 4_683_000_000,
      memory_bytes: 6_300_000_000,
      parameters: 7_600_000_000,
      licence: 'MIT',
      description: 'DeepSeek’s reasoning, distilled. Always thinks.',
      context_tokens: 131_072,
    }),
    model('smollm2:135m', {
      family: 'llama',
      file_bytes: 145_000_000,
      memory_bytes: 260_000_000,
      parameters: 135_000_000,
      description: 'Tiny; for trying things out.',
      context_tokens: 8192,
    }),
  ];
}

const topics = [
  ['How heavy is a minke whale?', 0, { pinned: true }],
  ['Rewriting a loop in Rust', 1, {}],
  ['Proof that there are infinitely many primes', 3, {}],
  ['Dinner for six without an oven', 26, {}],
  ['SQL: latest row per group', 30, {}],
  ['Names for a sailing boat', 70, {}],
  ['What does a KV cache hold?', 100, {}],
  ['A letter to the landlord about the heating', 24 * 12, {}],
  ['Explaining eigenvalues to a ten-year-old', 24 * 20, {}],
];

export function sample_conversations(store, id) {
  const work = { id: id(), name: 'Work', position: 0 };
  store.folders = [work, { id: id(), name: 'Garden', position: 1 }];
  store.presets = [
    {
      id: id(),
      name: 'Careful',
      position: 0,
      settings: {
        temperature: 0.2,
        top_p: 0.9,
        system: 'Answer carefully and say what you are not sure of.',
      },
    },
    { id: id(), name: 'Playful', position: 1, settings: { temperature: 1.1, top_p: 0.98 } },
  ];
  const now = Date.now();
  for (const [title, hours, fields] of topics) {
    const at = now - hours * 3_600_000 - 60_000;
    const conversation = store.new_conversation({
      title,
      folder_id: /SQL|KV cache/.test(title) ? work.id : null,
    });
    Object.assign(conversation, fields, {
      title_is_own: false,
      created_at_ms: at,
      updated_at_ms: at,
      message_count: 2,
    });
    const question = store.new_message(conversation, { content: title, created_at_ms: at });
    const { thinking, text } = answer_to(title, true);
    store.new_message(conversation, {
      parent_id: question.id,
      role: 'assistant',
      content: text,
      model: 'qwen3:4b',
      created_at_ms: at,
      thinking: thinking.map((t) => ({ text: t, started_at_ms: at, ms: 8_400 })),
      finish_reason: 'stop',
      finished_at_ms: at + 14_000,
      usage: {
        prompt_tokens: 24,
        cached_tokens: 0,
        answer_tokens: 412,
        reasoning_tokens: 118,
        prompt_ms: 310,
        answer_ms: 14_000,
        drafted_tokens: 0,
        accepted_tokens: 0,
      },
    });
  }
}
