// How far this computer's clock is from the server's, for timers that the server started. A stamp
// just received can only be older than now; the youngest one seen tells the difference best.

class ServerClock {
  #ahead_ms = 0; // of the server, over here
  #known = false;

  saw(stamp_ms: number | null | undefined): void {
    if (!stamp_ms) return;
    const ahead = stamp_ms - Date.now();
    // Less than two seconds behind may be the way of the message itself.
    if (!this.#known || ahead > this.#ahead_ms)
      this.#ahead_ms = ahead > -2000 && ahead < 0 ? 0 : ahead;
    this.#known = true;
  }

  now_ms(): number {
    return Date.now() + this.#ahead_ms;
  }
}

export const server_clock = new ServerClock();
