/** The host as the engine asks it: its own in-process fetch, without a port and without a network. */
import type { PluginInput } from "@opencode-ai/plugin";

/** A request of the engine's. */
export interface Ask {
  method: string;
  target: string;
  body?: string | undefined;
}

/** An answer of the host's; status 0 when it was not reached, and then `body` says why. */
export interface Answer {
  status: number;
  body: string;
}

/** What the host's client knows of the way to it. */
interface ClientConfig {
  fetch?: (request: Request) => Promise<Response>;
  baseUrl?: string;
  headers?: ConstructorParameters<typeof Headers>[0];
}

/** One directory's way to the host. */
export interface Host {
  ask(request: Ask): Promise<Answer>;
  open(target: string, signal: AbortSignal): Promise<Response>;
  toast(title: string, message: string): void;
}

/** The way to the host that a plugin's input gives. */
export function hostOf(input: PluginInput): Host {
  const { _client } = input.client as unknown as { _client: { getConfig(): ClientConfig } };
  const config = _client.getConfig();
  const send = (request: Ask, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(config.headers);
    // The directory is part of each request's query: this header would win over it.
    headers.delete("x-opencode-directory");
    if (request.body !== undefined) headers.set("content-type", "application/json");
    const url = new URL(request.target, config.baseUrl ?? "http://localhost");
    const made = new Request(url, { ...init, method: request.method, headers, body: request.body ?? null });
    return (config.fetch ?? fetch)(made);
  };
  // Never rejects: the engine reads a status of 0.
  const ask = async (request: Ask): Promise<Answer> => {
    try {
      const response = await send(request);
      return { status: response.status, body: await response.text() };
    } catch (error) {
      return { status: 0, body: error instanceof Error ? error.message : String(error) };
    }
  };
  const query = `?directory=${encodeURIComponent(input.directory)}`;
  return {
    ask,
    open: (target, signal) => send({ method: "GET", target }, { signal }),
    toast: (title, message) => {
      const body = JSON.stringify({ title, message, variant: "error", duration: 10_000 });
      void ask({ method: "POST", target: `/tui/show-toast${query}`, body });
    },
  };
}
