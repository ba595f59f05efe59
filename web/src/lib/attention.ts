// This window is looked at, or has not been for a while.

import type { Attention } from './sse';

const asleep_after_ms = 15_000;

export const window_attention: Attention = {
  awake(signal) {
    if (!document.hidden) return Promise.resolve();
    return new Promise((resolve) => {
      const look = (): void => {
        if (document.hidden && !signal.aborted) return;
        document.removeEventListener('visibilitychange', look);
        signal.removeEventListener('abort', look);
        resolve();
      };
      document.addEventListener('visibilitychange', look);
      signal.addEventListener('abort', look);
    });
  },

  on_asleep(lapse) {
    let timer = 0;
    const look = (): void => {
      clearTimeout(timer);
      if (document.hidden) timer = window.setTimeout(lapse, asleep_after_ms);
    };
    document.addEventListener('visibilitychange', look);
    look();
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', look);
    };
  },
};
