// Trainings for the mock: one has ended, one grows by a step every quarter of a second.

const answers = [
  '7*3=21 with 5: +26 -16 no\n5*3=15 with 7: +22 yes\n\n</think>\n\n(5*3)+7',
  '7+5=12 with 3: +15 -9 *36 no\n7*5=35 with 3: +38 -32 no\n\n</think>\n\nnone',
];

// Not random, so that pictures of it stay the same.
const wobble = (i) => Math.sin(i * 12.9898) * 0.5 + Math.sin(i * 4.1414) * 0.5;

function sample(i, right) {
  return {
    prompt: `3 5 7 = ${20 + (i % 5)}`,
    answer: answers[right ? 0 : 1],
    reward: right ? 1 : 0,
    correct: right,
  };
}

function evaluation(step, share) {
  return {
    step,
    event: 'evaluation',
    stage: step > 60 ? 'trial' : 'traces',
    samples_each: 16,
    pass_1: share,
    pass_1_error: 0.03,
    pass_k: Math.min(1, 0.4 + share),
    answer_tokens: 40 + 90 * share,
    truncated: 0.1 * (1 - share),
    samples: [sample(step, true), sample(step, share > 0.5)],
  };
}

function lines_of(steps) {
  const lines = [];
  for (let step = 1; step <= steps; ++step) {
    const common = {
      step,
      learning_rate: 0.001,
      peak_share: 0.31,
      step_seconds: 0.5,
      seconds: step / 2,
    };
    if (step <= 60) {
      lines.push({
        ...common,
        stage: 'traces',
        stage_step: step,
        stage_steps: 60,
        loss: 0.4 + 3 * Math.exp(-step / 12) + 0.03 * wobble(step),
        tokens: 4900 + Math.round(200 * wobble(step)),
      });
    } else {
      const share = 0.92 - 0.65 * Math.exp(-(step - 60) / 14) + 0.03 * wobble(step);
      lines.push({
        ...common,
        stage: 'trial',
        stage_step: step - 60,
        stage_steps: 80,
        loss: 0.25 + 0.05 * wobble(step),
        reward: share,
        accuracy: share,
        answer_tokens: 45 + 70 * share,
        truncated: 0.08 * (1 - share),
        entropy: 0.25 - 0.1 * share,
        logprob_drift: 0,
        tokens: 3600,
        sampled_tokens: 7400 + Math.round(500 * wobble(step)),
        samples: [sample(step, true), sample(step + 1, step % 3 > 0)],
      });
    }
    if (step % 30 === 0)
      lines.push(evaluation(step, step <= 60 ? 0.27 : Math.min(0.9, step / 150)));
  }
  return lines.map((line) => `${JSON.stringify(line)}\n`);
}

export class MockRuns {
  #started_at_ms = 0; // when it was first looked at

  #all() {
    this.#started_at_ms ||= Date.now();
    const grown = Math.min(140, 100 + Math.floor((Date.now() - this.#started_at_ms) / 250));
    return [
      { name: 'minke-zero', running: grown < 140, lines: lines_of(grown), at_ms: Date.now() },
      {
        name: 'minke-zero-first',
        running: false,
        lines: lines_of(90),
        at_ms: this.#started_at_ms - 9e6,
      },
    ];
  }

  list() {
    const runs = this.#all().map(({ name, running, lines, at_ms }) => ({
      name,
      running,
      metrics_bytes: lines.join('').length,
      updated_at_ms: at_ms,
    }));
    return { folder: 'runs', runs };
  }

  metrics(name, from) {
    const run = this.#all().find((one) => one.name === name);
    if (!run) return null;
    const text = run.lines.join('');
    return {
      from,
      next: text.length,
      lines: text
        .slice(from)
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line)),
    };
  }
}
