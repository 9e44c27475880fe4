/**
 * Sortie inside OpenCode: maps hooks and tools to the engine, and the engine's requests to the host. Nothing is decided
 * here that the engine could decide.
 */
import type { Config, Hooks, PluginInput } from "@opencode-ai/plugin";

import { type Host, hostOf } from "./host.js";
import { program } from "./program.js";
import { EventStream } from "./stream.js";

type Native = typeof import("../index.js");
type Attachment = InstanceType<Native["SortieAttachment"]>;

const HELLO = Symbol.for("opencode-sortie.loaded");
const TOAST_PAUSE_MS = 1500;
/** The host tells of every piece of an answer; as signs of life a few are enough. */
const SIGN_OF_LIFE_MS = 5_000;

/** One event stream for all directories of this process. */
let stream: EventStream | undefined;
let calls = 0;

/** Whether the host ends the process when its main session is idle. */
function isHeadless(): boolean {
  return process.argv[2] === "run";
}

/** The addon, or why it cannot be had. */
async function load(): Promise<{ native: Native } | { problem: string }> {
  const loaded = globalThis as { [HELLO]?: string };
  const other = loaded[HELLO];
  if (other !== undefined && other !== import.meta.url) {
    return {
      problem: `sortie error loaded-twice: the plugin is also loaded from ${other}. Keep one entry of opencode-sortie in OpenCode's configuration.`,
    };
  }
  try {
    const native = (await import("../index.js")) as Native;
    loaded[HELLO] = import.meta.url;
    return { native };
  } catch (error) {
    const why = reasons(error);
    // Tried are a file beside the loader and a package: whichever is there says why it cannot be used.
    const broken = why.find((reason) => !/^cannot find (native binding|module|package)/i.test(reason));
    return {
      problem: broken
        ? `sortie error addon-platform: ${broken}. Install opencode-sortie on this platform again; supported are Linux, macOS and Windows on x64 and arm64.`
        : `sortie error addon-missing: ${why.at(-1)}. Run \`npm run build\` in a checkout, or install opencode-sortie again.`,
    };
  }
}

/** What an error says, and what those that caused it say: the addon's loader tries several files. */
function reasons(error: unknown): string[] {
  const said: string[] = [];
  for (let at = error; at !== undefined && at !== null; at = at instanceof Error ? at.cause : undefined) {
    said.push((at instanceof Error ? at.message : String(at)).split("\n")[0] ?? "");
  }
  return said;
}

/** Says once, where the user and the log see it, that Sortie does not work. The host goes on without it. */
function complain(host: Host, problem: string): Hooks {
  // The host cannot be asked before its plugins are loaded, and the screen may not be there yet.
  setTimeout(() => {
    const body = { service: "sortie", level: "error" as const, message: problem };
    void host.ask({ method: "POST", target: "/log", body: JSON.stringify(body) });
    host.toast("Sortie does not work", problem);
  }, TOAST_PAUSE_MS).unref?.();
  return {};
}

/** JSON has no infinity and would make it `null`, as if nothing was given; as a text it is refused by its name. */
function honest(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/** Whether a value has fields that can be merged. */
function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The permissions of an agent, where both have some: the host gives every agent of the user's an empty set. */
function permissions(ours: object, theirs: object = {}) {
  const own = "permission" in ours ? ours.permission : undefined;
  const given = "permission" in theirs ? theirs.permission : undefined;
  return isRecord(own) && isRecord(given) ? { permission: { ...own, ...given } } : {};
}

/** Our entries under the user's own of the same names. */
function overlaid<T extends object>(ours: Record<string, T>, users: Record<string, T | undefined> = {}) {
  const merged: Record<string, T> = {};
  for (const [name, theirs] of Object.entries(users)) if (theirs !== undefined) merged[name] = theirs;
  for (const [name, own] of Object.entries(ours))
    merged[name] = { ...own, ...merged[name], ...permissions(own, merged[name]) };
  return merged;
}

/** Whether a piece of an answer is the first of its session for a while. */
function signsOfLife(): (event: { type: string; properties?: unknown }) => boolean {
  let seen = new Set<unknown>();
  let since = 0;
  return ({ properties }) => {
    const session = isRecord(properties) ? properties.sessionID : undefined;
    const now = performance.now();
    if (now - since > SIGN_OF_LIFE_MS) [seen, since] = [new Set(), now];
    if (seen.has(session)) return false;
    seen.add(session);
    return true;
  };
}

/** The root of the checkout, or the directory where there is none. OpenCode's project would be that of any clone. */
function rootOf(input: PluginInput): string {
  const root = input.worktree;
  return root && root !== "/" ? root : input.directory;
}

async function server(input: PluginInput, options?: Record<string, unknown>): Promise<Hooks> {
  const host = hostOf(input);
  const loaded = await load();
  if ("problem" in loaded) return complain(host, loaded.problem);
  const { native } = loaded;
  stream ??= new EventStream(native);
  const events = stream;
  let attachment: Attachment;
  try {
    const path = program();
    const spec = {
      directory: input.directory,
      project: rootOf(input),
      options: JSON.stringify(options ?? {}),
      headless: isHeadless(),
      ...(path === undefined ? {} : { program: path }),
    };
    attachment = await native.attach(spec, host.ask, events.listen);
  } catch (error) {
    return complain(host, error instanceof Error ? error.message : String(error));
  }
  events.add(host);
  attachment.hearDirectly();
  const wanted = new Set(native.wantedEvents());
  const isSign = signsOfLife();
  // Asking the host before its plugins are loaded would never be answered.
  setTimeout(() => void attachment.start().catch(() => undefined), 0);

  const ours = JSON.parse(native.hostConfig()) as {
    agent: Record<string, NonNullable<NonNullable<Config["agent"]>[string]>>;
    command: NonNullable<Config["command"]>;
  };
  const tools = native.tools();
  const definitions = new Map(
    tools.map((tool) => [tool.name, { description: tool.description, jsonSchema: JSON.parse(tool.schema) as object }]),
  );

  return {
    dispose: async () => {
      events.remove(host);
      await attachment.detach();
    },

    // Of this directory only, and some milliseconds sooner than the stream, which is left for the others.
    event: async ({ event }) => {
      const type: string = event.type;
      if (!wanted.has(type) || (type === "message.part.delta" && !isSign(event))) return;
      attachment.event(JSON.stringify(event));
    },

    config: async (config) => {
      // What the user has configured wins, field by field.
      config.agent = overlaid(ours.agent, config.agent);
      config.command = overlaid(ours.command, config.command);
    },

    tool: Object.fromEntries(
      tools.map((tool) => [
        tool.name,
        {
          description: tool.description,
          args: {},
          execute: async (args: unknown, context) => {
            const words = JSON.stringify(args ?? {}, honest);
            // Denies or asks as the session's rules say: the host checks a plugin's tool only so. A refusal throws, and
            // nothing was done.
            for (const ask of attachment.asks(tool.name, words, context.directory)) await context.ask(ask);
            const id = ++calls;
            const abort = () => attachment.abort(id);
            const {
              sessionID: session,
              messageID: message,
              directory,
              callID: call,
            } = context as typeof context & {
              callID?: string;
            };
            const caller = { session, message, directory, ...(call === undefined ? {} : { call }) };
            const answer = attachment.call(id, tool.name, words, caller);
            context.abort.addEventListener("abort", abort);
            if (context.abort.aborted) abort();
            try {
              return await answer;
            } finally {
              // The host also aborts after a normal end.
              context.abort.removeEventListener("abort", abort);
            }
          },
        },
      ]),
    ),

    "tool.definition": async ({ toolID }, output) => {
      const definition = definitions.get(toolID);
      if (definition) Object.assign(output, definition);
    },

    "command.execute.before": async ({ command, sessionID, arguments: words }, output) => {
      if (!(command in ours.command)) return;
      const answer = await attachment.command(command, sessionID, input.directory, words);
      const ask = (text: string) => {
        output.parts.splice(0, output.parts.length, { type: "text", text } as (typeof output.parts)[number]);
      };
      if (answer.prompt !== undefined) ask(answer.prompt);
      if (answer.shown === undefined) return;
      if (isHeadless()) return ask(`Repeat this as it is:\n\n${answer.shown}`);
      // Throwing is how a command ends without a model; the answer is already in the session.
      throw new Error("shown");
    },

    "experimental.chat.system.transform": async ({ sessionID }, { system }) => {
      if (sessionID === undefined) return;
      for (const block of attachment.system(sessionID)) {
        if (!system.some((known) => known.includes(block))) system.push(block);
      }
    },

    "experimental.session.compacting": async ({ sessionID }, { context }) => {
      const kept = attachment.compaction(sessionID);
      if (kept !== null) context.push(kept);
    },

    "experimental.text.complete": async ({ sessionID }) => {
      // The host leaves when its main session is idle, and would take what still runs with it.
      if (isHeadless()) await attachment.settle(sessionID).catch(() => undefined);
    },
  };
}

export default { id: "opencode-sortie", server };
