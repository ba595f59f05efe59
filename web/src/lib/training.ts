// What the page of trainings makes of a run's metrics: curves, where stages begin, what was said.

export interface Sample {
  prompt: string;
  answer: string;
  reward: number;
  correct: boolean;
}

// A line of metrics.jsonl: of a step, or (with `event`) of something beside them.
export interface MetricLine {
  step?: number;
  event?: string;
  stage?: string;
  stage_step?: number;
  stage_steps?: number;
  samples?: Sample[];
  [measure: string]: unknown;
}

export interface Point {
  step: number;
  value: number;
  error?: number; // one standard error
}

export interface Curve {
  name: string; // among others of the same panel
  points: Point[];
  kind: 'line' | 'points';
}

export interface Panel {
  title: string;
  format: (value: number) => string;
  curves: Curve[];
  from_zero: boolean;
  to_one: boolean; // shares
}

export interface Rollouts {
  step: number;
  stage: string;
  is_unseen: boolean; // of an evaluation
  samples: Sample[];
}

const rollouts_max = 500;
const curves_max = 6;
const percent = (value: number): string =>
  `${(100 * value).toFixed(value > 0 && value < 0.0995 ? 1 : 0)}%`;
const short = (value: number): string =>
  value === 0
    ? '0'
    : Math.abs(value) >= 100
      ? Math.round(value).toLocaleString('en')
      : value.toPrecision(3);

export class Training {
  stages: { name: string; first_step: number }[] = [];
  rollouts: Rollouts[] = [];
  last: MetricLine | null = null; // of a step
  #steps: MetricLine[] = [];
  #evaluations: MetricLine[] = [];

  // Lines come in the order of the file.
  take(lines: MetricLine[]): void {
    for (const line of lines) {
      if (typeof line.step !== 'number') continue;
      const stage = String(line.stage ?? '');
      if (line.event === 'evaluation') this.#evaluations.push(line);
      else if (line.event) continue;
      else {
        this.#steps.push(line);
        this.last = line;
        if (this.stages.at(-1)?.name !== stage)
          this.stages.push({ name: stage, first_step: line.step });
      }
      if (!line.samples?.length) continue;
      this.rollouts.push({
        step: line.step,
        stage,
        is_unseen: line.event === 'evaluation',
        samples: line.samples,
      });
    }
    if (this.rollouts.length > rollouts_max)
      this.rollouts.splice(0, this.rollouts.length - rollouts_max);
  }

  get first_step(): number {
    return Math.min(this.#steps[0]?.step ?? 0, this.#evaluations[0]?.step ?? Infinity);
  }
  get last_step(): number {
    return Math.max(this.last?.step ?? 0, this.#evaluations.at(-1)?.step ?? 0);
  }

  // Of the stage under way, by the time that its last steps took.
  get seconds_left(): number | null {
    const { stage, stage_step, stage_steps } = this.last ?? {};
    const some = this.#steps.slice(-20).filter((line) => line.stage === stage);
    const seconds = some.reduce((sum, line) => sum + Number(line.step_seconds ?? 0), 0);
    if (some.length === 0 || stage_step === undefined || stage_steps === undefined) return null;
    return (seconds / some.length) * Math.max(0, stage_steps - stage_step);
  }

  // Those that the run has. Several tasks have panels of their own, with a curve for each.
  panels(): Panel[] {
    const tasks = [...new Set(this.#evaluations.map((line) => String(line.task ?? '')))];
    const names = names_of(tasks);
    const step = (measure: string, name: string): Curve => line_of(this.#steps, measure, name);
    const of_task = (task: string, measure: string, name: string): Curve => ({
      ...line_of(
        this.#evaluations.filter((line) => String(line.task ?? '') === task),
        measure,
        name,
      ),
      kind: 'points',
    });
    const unseen = (measure: string, name: string): Curve[] =>
      tasks.length === 1 ? [of_task(tasks[0]!, measure, name)] : [];
    const each_task = (measure: string): Curve[] =>
      tasks.length > 1
        ? tasks.slice(0, curves_max).map((task, i) => of_task(task, measure, names[i]!))
        : [];
    const shares = { format: percent, from_zero: true, to_one: true };
    const numbers = { format: short, from_zero: true, to_one: false };
    const samples = this.#evaluations.at(-1)?.samples_each ?? 'k';
    const panels: Panel[] = [
      {
        title: 'Right answers',
        ...shares,
        curves: [
          step('accuracy', 'in training'),
          ...unseen('pass_1', 'unseen problems'),
          ...unseen('pass_k', `at least one of ${samples}`),
        ],
      },
      { title: 'Right answers, unseen problems', ...shares, curves: each_task('pass_1') },
      { title: 'Reward', ...numbers, curves: [step('reward', 'reward')] },
      { title: 'Loss', ...numbers, from_zero: false, curves: [step('loss', 'loss')] },
      {
        title: 'Length of answers, tokens',
        ...numbers,
        curves: [
          step('answer_tokens', 'in training'),
          ...unseen('answer_tokens', 'unseen problems'),
        ],
      },
      {
        title: 'Length on unseen problems, tokens',
        ...numbers,
        curves: each_task('answer_tokens'),
      },
      { title: 'Cut off at the limit', ...shares, curves: [step('truncated', 'cut off')] },
      { title: 'Entropy, nats', ...numbers, curves: [step('entropy', 'entropy')] },
      { title: 'Tokens a second', ...numbers, curves: [speed(this.#steps)] },
    ];
    return panels
      .map((panel) => ({ ...panel, curves: panel.curves.filter((c) => c.points.length > 0) }))
      .filter((panel) => panel.curves.length > 0 && !repeats(panel, panels));
  }
}

// Without the parameters, which may be long, where that tells them apart.
function names_of(tasks: string[]): string[] {
  const short = tasks.map((task) => task.replace(/:.*/, ''));
  return new Set(short).size === tasks.length ? short : tasks;
}

function line_of(lines: MetricLine[], measure: string, name: string): Curve {
  const points: Point[] = [];
  for (const line of lines) {
    const value = line[measure];
    if (typeof value !== 'number') continue;
    const error = line[`${measure}_error`];
    // A stage and the recipe may have measured the same: the later one counts.
    if (points.at(-1)?.step === (line.step ?? 0)) points.pop();
    points.push({
      step: line.step ?? 0,
      value,
      error: typeof error === 'number' ? error : undefined,
    });
  }
  return { name, points, kind: 'line' };
}

// What was learnt and what was sampled, by the time that the step took.
function speed(lines: MetricLine[]): Curve {
  const points: Point[] = [];
  for (const line of lines) {
    const seconds = Number(line.step_seconds);
    const tokens = Number(line.tokens ?? 0) + Number(line.sampled_tokens ?? 0);
    if (seconds > 0 && tokens > 0) points.push({ step: line.step ?? 0, value: tokens / seconds });
  }
  return { name: 'tokens a second', points, kind: 'line' };
}

// A reward that is nothing but the share of right answers.
function repeats(panel: Panel, all: Panel[]): boolean {
  if (panel.title !== 'Reward') return false;
  const right = all[0]?.curves[0]?.points ?? [];
  const own = panel.curves[0]?.points ?? [];
  return own.length === right.length && own.every((p, i) => p.value === right[i]?.value);
}

// At most so many points, each the mean of its neighbours: what a line of that width can show.
export function thinned(points: Point[], count_max: number): Point[] {
  if (points.length <= count_max) return points;
  const result: Point[] = [];
  for (let i = 0; i < count_max; ++i) {
    const begin = Math.floor((i * points.length) / count_max);
    const some = points.slice(begin, Math.floor(((i + 1) * points.length) / count_max));
    const mean = some.reduce((sum, p) => sum + p.value, 0) / some.length;
    result.push({ step: some[some.length - 1]!.step, value: mean });
  }
  return result;
}

// A round number at or above: what an axis ends with.
export function round_up(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const factor of [1, 1.5, 2, 3, 4, 5, 6, 8, 10]) {
    if (value <= factor * power * (1 + 1e-9)) return Number((factor * power).toPrecision(2));
  }
  return 10 * power;
}

// What the model thought, and what it answered.
export function parts_of(answer: string): { thinking: string; said: string } {
  const end = answer.indexOf('</think>');
  const begin = answer.startsWith('<think>') ? 7 : 0;
  if (end < 0) {
    const is_open = begin > 0;
    return is_open ? { thinking: answer.slice(begin), said: '' } : { thinking: '', said: answer };
  }
  return { thinking: answer.slice(begin, end).trim(), said: answer.slice(end + 8).trim() };
}
