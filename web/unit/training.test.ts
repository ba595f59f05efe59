// What the page of trainings makes of metrics.

import { describe, expect, it } from 'vitest';
import { parts_of, round_up, thinned, Training } from '../src/lib/training';

const learnt = (step: number, loss: number) => ({
  step,
  stage: 'traces',
  stage_step: step,
  stage_steps: 3,
  loss,
  tokens: 100,
  step_seconds: 0.5,
});
const tried = (step: number, share: number) => ({
  step,
  stage: 'trial',
  loss: 0.1,
  reward: share,
  accuracy: share,
  tokens: 100,
  sampled_tokens: 300,
  step_seconds: 2,
  samples: [{ prompt: `p${step}`, answer: 'a', reward: share, correct: share > 0.5 }],
});

describe('Training', () => {
  it('has the panels that the metrics have, and stages where they begin', () => {
    const run = new Training();
    run.take([
      { step: 0, event: 'evaluation', stage: 'traces', pass_1: 0, pass_k: 0.1, samples_each: 16 },
      learnt(1, 3),
      learnt(2, 2),
    ]);
    expect(run.panels().map((p) => p.title)).toEqual(['Right answers', 'Loss', 'Tokens a second']);
    run.take([tried(3, 0.5), { event: 'saved', step: 3 }, { event: 'warning' }, tried(4, 0.75)]);
    expect(run.stages).toEqual([
      { name: 'traces', first_step: 1 },
      { name: 'trial', first_step: 3 },
    ]);
    const right = run.panels()[0]!;
    expect(right.curves.map((c) => c.name)).toEqual([
      'in training',
      'unseen problems',
      'at least one of 16',
    ]);
    expect(right.curves[0]!.points).toEqual([
      { step: 3, value: 0.5, error: undefined },
      { step: 4, value: 0.75, error: undefined },
    ]);
    const speed = run.panels().at(-1)!.curves[0]!.points;
    expect(speed.map((p) => p.value)).toEqual([200, 200, 200, 200]);
    expect([run.first_step, run.last_step]).toEqual([0, 4]);
  });

  it('has a curve for each of several tasks, and one value a step in each', () => {
    const run = new Training();
    const measured = (step: number, task: string, share: number) => ({
      step,
      event: 'evaluation',
      stage: 'start',
      task,
      pass_1: share,
      answer_tokens: 10,
    });
    run.take([
      measured(0, 'countdown:max=9', 0.1),
      measured(0, 'gcd', 0.2),
      learnt(1, 3),
      measured(1, 'countdown:max=9', 0.3),
      measured(1, 'gcd', 0.4),
      measured(1, 'gcd', 0.5),
    ]);
    const right = run.panels().find((p) => p.title === 'Right answers, unseen problems')!;
    expect(right.curves.map((c) => c.name)).toEqual(['countdown', 'gcd']);
    expect(right.curves[1]!.points.map((p) => [p.step, p.value])).toEqual([
      [0, 0.2],
      [1, 0.5],
    ]);
    run.take([measured(1, 'countdown:max=5', 0.3)]);
    const names = run.panels().find((p) => p.title.startsWith('Length on'))!.curves;
    expect(names.map((c) => c.name)).toEqual(['countdown:max=9', 'gcd', 'countdown:max=5']);
  });

  it('tells how long the stage will take by its own steps', () => {
    const run = new Training();
    run.take([learnt(1, 3)]);
    expect(run.seconds_left).toBe(1);
    run.take([{ ...tried(2, 0.5), stage_step: 1, stage_steps: 11 }]);
    expect(run.seconds_left).toBe(20);
  });

  it('shows a reward of its own only where it is not the share of right answers', () => {
    const run = new Training();
    run.take([tried(1, 0.5)]);
    expect(run.panels().some((p) => p.title === 'Reward')).toBe(false);
    run.take([{ ...tried(2, 0.5), reward: 0.7 }]);
    expect(run.panels().some((p) => p.title === 'Reward')).toBe(true);
  });

  it('keeps what was said, and not without end', () => {
    const run = new Training();
    for (let step = 1; step <= 700; ++step) run.take([tried(step, 1)]);
    expect(run.rollouts.length).toBe(500);
    expect(run.rollouts.at(-1)!.samples[0]!.prompt).toBe('p700');
  });
});

describe('what panels are drawn with', () => {
  it('means of neighbours stand for more points than can be shown', () => {
    const points = Array.from({ length: 1000 }, (_, step) => ({ step, value: step }));
    const few = thinned(points, 10);
    expect(few.length).toBe(10);
    expect(few[0]).toEqual({ step: 99, value: 49.5 });
    expect(few.at(-1)!.step).toBe(999);
    expect(thinned(points.slice(0, 5), 10)).toEqual(points.slice(0, 5));
  });

  it('axes end with round numbers', () => {
    expect([0.23, 1, 1.2, 7.1, 130, 0].map(round_up)).toEqual([0.3, 1, 1.5, 8, 150, 1]);
  });

  it('thinking is told from the answer', () => {
    expect(parts_of('t\n</think>\na')).toEqual({ thinking: 't', said: 'a' });
    expect(parts_of('<think>t</think>a')).toEqual({ thinking: 't', said: 'a' });
    expect(parts_of('<think>cut')).toEqual({ thinking: 'cut', said: '' });
    expect(parts_of('plain')).toEqual({ thinking: '', said: 'plain' });
  });
});
