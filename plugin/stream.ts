/** The host's event stream: one for all directories of the process, open only while the engine needs it. */
import type { Host } from "./host.js";

/** What the engine takes of the stream. */
interface Ears {
  streamOpened(): void;
  streamChunk(chunk: Uint8Array): void;
  streamClosed(): void;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

export class EventStream {
  readonly #ears: Ears;
  readonly #hosts = new Set<Host>();
  #wanted = false;
  #reading: { host: Host; controller: AbortController } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pause = FIRST_PAUSE_MS;

  constructor(ears: Ears) {
    this.#ears = ears;
  }

  /** Opens the stream or closes it. */
  readonly listen = (on: boolean): void => {
    this.#wanted = on;
    if (on) this.#open();
    else this.#close();
  };

  /** A further way to the host. */
  add(host: Host): void {
    this.#hosts.add(host);
    if (this.#wanted) this.#open();
  }

  /** A way that is about to end; the stream goes on over another one. */
  remove(host: Host): void {
    this.#hosts.delete(host);
    if (this.#reading?.host !== host) return;
    this.#close();
    if (this.#wanted) this.#open();
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#reading?.controller.abort();
    this.#reading = undefined;
  }

  #open(): void {
    const host = this.#hosts.values().next().value;
    if (this.#reading || this.#timer || !host) return;
    const reading = { host, controller: new AbortController() };
    this.#reading = reading;
    void this.#read(host, reading.controller.signal).finally(() => {
      this.#ears.streamClosed();
      // Closed on purpose, or replaced.
      if (this.#reading !== reading) return;
      this.#reading = undefined;
      if (!this.#wanted) return;
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#open();
      }, this.#pause);
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
    });
  }

  /** Reads to the end of the stream. Whatever breaks it is a reason to open it again, and no more. */
  async #read(host: Host, signal: AbortSignal): Promise<void> {
    try {
      const response = await host.open("/global/event", signal);
      if (!response.ok || !response.body) return;
      const reader = response.body.getReader();
      this.#ears.streamOpened();
      this.#pause = FIRST_PAUSE_MS;
      for (;;) {
        const { done, value } = await reader.read();
        if (done || signal.aborted) return;
        this.#ears.streamChunk(value);
      }
    } catch {
      return;
    }
  }
}
