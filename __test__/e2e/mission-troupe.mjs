// @ts-check
/**
 * Missions on short plans that are written by hand, each in a project of its own behind one server, so that a test does
 * not start one. Workers write a file and reviewers accept, unless a test says otherwise.
 * @module
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { roleOf } from "../../testkit/mission.mjs";
import { textOf } from "../../testkit/model-script.mjs";
import { messageText } from "../../testkit/opencode.mjs";
import { until } from "../../testkit/wait.mjs";
import { begin, MISSION_MS, messagesIn, missionMessages, order, planOf } from "./mission-stage.mjs";
import { ROOT, Session } from "./stage.mjs";

/** @typedef {import("../../testkit/model-script.mjs").Step} Step */
/** @typedef {import("../../testkit/mission.mjs").Role} Role */
/** @typedef {import("./stage.mjs").ModelRequest} ModelRequest */
/** @typedef {{role: Role, request: ModelRequest, first: string}} Scene `first` is the conversation's first message. */
/** @typedef {(scene: Scene) => Step | undefined} Part */
/** @typedef {{git?: boolean, mission?: Record<string, unknown>, config?: Record<string, unknown>}} Settings */
/** @typedef {ReturnType<typeof openTroupe>} Troupe */
/** @typedef {ReturnType<Troupe["project"]>} Project */

/** What a commander says that is asked for its report. */
const REPORT = "MISSION REPORT";

/** A provider with a second model. @param {string} url */
export const SECOND_MODEL = (url) => {
  const limit = { context: 200_000, output: 8_000 };
  return {
    provider: {
      scripted: {
        name: "Scripted",
        npm: "@ai-sdk/openai-compatible",
        options: { baseURL: `${url}/v1`, apiKey: "none" },
        models: { model: { name: "Scripted model", limit }, other: { name: "Another model", limit } },
      },
    },
  };
};

/** The first message of a conversation. @param {ModelRequest} request */
const firstOf = ({ body }) => textOf(body.messages.find(({ role }) => role === "user"));

/** Whether nothing was answered in a conversation yet. @param {ModelRequest} request */
export const isFirst = ({ body }) => !body.messages.some(({ role }) => role === "assistant");

/** A planner that adds items. @param {string[]} titles @returns {Part} */
export function addItems(titles) {
  return ({ role, request }) =>
    role === "planner" && isFirst(request)
      ? { tool: "sortie_todo", args: { do: "add", items: titles.map((title) => ({ title })) } }
      : undefined;
}

/** @param {Scene} scene @returns {Step} */
function usual({ role, request }) {
  if (role === "commander") return { say: /^Report to the user/m.test(request.lastUser) ? REPORT : "Noted." };
  if (role === "reviewer") return { say: "VERDICT: ACCEPT" };
  return { say: role === "planner" ? "Nothing to plan." : "Changed: nothing.\nEvidence: none could be run." };
}

/**
 * @param {import("./stage.mjs").Sandbox} sandbox
 * @param {import("./stage.mjs").Server} server
 * @param {import("./stage.mjs").ModelServer} model
 */
export function openTroupe(sandbox, server, model) {
  /** By a text of the conversation's first message. @type {Map<string, Part>} */
  const parts = new Map();
  model.on(
    (request) => roleOf(request) !== undefined,
    (request) => {
      const role = roleOf(request);
      if (!role) return undefined;
      const scene = { role, request, first: firstOf(request) };
      const [, part] = [...parts].find(([text]) => scene.first.includes(text)) ?? [];
      return part?.(scene) ?? usual(scene);
    },
  );
  return {
    /**
     * A project with a plan. Its titles stand in no other plan.
     *
     * @param {string} name @param {string} todo @param {Settings} [settings]
     */
    project(name, todo, { git = true, mission = {}, config = {} } = {}) {
      const directory = sandbox.addProject(name, { git, config: { plugin: [[ROOT, { mission }]], ...config } });
      mkdirSync(join(directory, ".opencode"), { recursive: true });
      const path = join(directory, ".opencode", "todo.md");
      if (todo) writeFileSync(path, todo);
      /** @type {typeof server} */
      const here = {
        ...server,
        cwd: directory,
        request: (method, target, options) => server.request(method, target, { directory, ...options }),
      };
      const messages = (/** @type {string} */ session) => messagesIn(here, session);
      const isBusy = async (/** @type {string} */ session) =>
        (await here.request("GET", "/session/status")).body?.[session] !== undefined;
      /** @type {string[]} */
      let said = [];
      const titles = () =>
        planOf(directory).map(({ text }) => text.replace(/^[a-z][\w.]*: /, "").replace(/ \{.*$/, ""));
      /** What a role was asked in the project: system prompts name its directory. @param {Role} role */
      const inHere = (role) =>
        model.requests.filter(
          (request) => request.kind === "chat" && roleOf(request) === role && request.system.includes(`${directory}\n`),
        );
      /** What a role was asked about the items of the plan, wherever. @param {Role} role @param {string} [title] */
      const requests = (role, title) => {
        if (role === "commander") return inHere(role);
        const about = titles().filter((one) => title === undefined || one === title);
        return model.requests.filter(
          (request) =>
            request.kind === "chat" &&
            roleOf(request) === role &&
            about.some((one) => firstOf(request).includes(`: ${one}\n`)),
        );
      };
      return {
        directory,
        path,
        server: here,
        messages,
        /** Plays the conversations about an item. @param {string} title @param {Part} part */
        on: (title, part) => void parts.set(title, part),
        /** Gives a mission to a session. @param {string} [goal] @param {string} [session] */
        begin: async (goal = "", session = undefined) => {
          const id = session ?? (await Session.create(here)).id;
          // Its ids show that a plan was taken in.
          const isTaken = () => planOf(directory).every(({ text }) => /^t[\d.]+: /.test(text));
          await until(isTaken, { timeoutMs: MISSION_MS, what: "the plan to be taken in" });
          return begin(here, { goal, session: id });
        },
        /** Edits the plan as a person does, as soon as there is what is to be replaced. @param {RegExp} what @param {string} by */
        edit: (what, by) =>
          until(
            () => {
              const text = readFileSync(path, "utf8");
              if (!what.test(text)) return false;
              writeFileSync(path, text.replace(what, by));
              return true;
            },
            { timeoutMs: MISSION_MS, what: `${what} in the plan` },
          ),
        isBusy,
        /** The marks of the plan by title. @returns {Record<string, string>} */
        marks: () => Object.fromEntries(planOf(directory).map(({ mark }, at) => [titles()[at], mark])),
        requests,
        /** The sessions of a role, in the order of their first request. @param {Role} role @param {string} [title] */
        sessions: (role, title) => [...new Set(requests(role, title).map(({ sessionHint }) => sessionHint))],
        /** The sessions of planners. */
        planners: () => [...new Set(inHere("planner").map(({ sessionHint }) => sessionHint))],
        /** The tasks of the project. @returns {Promise<any[]>} */
        tasks: async () => {
          const observer = await Session.create(here);
          return JSON.parse(await observer.ok("sortie_status", { json: true, all: true })).tasks;
        },
        /** Waits for the `count`th report of a commander, and the end of its turn. @param {string} session @param {number} [count] */
        untilReport: (session, count = 1) =>
          until(
            async () => {
              const all = await messages(session);
              said = all.map((one) => `${one.info.role}: ${messageText(one)} ${JSON.stringify(one.info.error ?? "")}`);
              const reports = all.filter(
                ({ info, parts }) =>
                  info.role === "assistant" &&
                  info.time.completed &&
                  parts.some((/** @type {any} */ part) => part.text === REPORT),
              );
              return reports.length >= count && !(await isBusy(session)) ? all : undefined;
            },
            {
              timeoutMs: MISSION_MS,
              everyMs: 200,
              what: () =>
                `the report; the plan is ${JSON.stringify(planOf(directory))}; said was\n${said.join("\n")}\n`,
            },
          ),
        /** Waits until the engine said something to a commander. @param {string} session @param {RegExp} [what] @returns {Promise<any>} */
        untilTold: (session, what = /cannot go on without you/) =>
          until(
            async () => missionMessages(await messages(session)).find(({ parts }) => what.test(parts[0]?.text ?? "")),
            {
              timeoutMs: MISSION_MS,
              everyMs: 200,
              what: () => `the commander to be told ${what}; the plan is ${JSON.stringify(planOf(directory))}`,
            },
          ),
        /** Ends a mission that would go on. @param {string} session */
        stop: async (session) => assert.match(await order(here, session, "stop"), /is stopped/),
      };
    },
  };
}
