/** The form of a process: texts as they are typed, and the definition that comes of them; pure. */
import type { ApiError } from "../api/problem";
import type { Probe, Process, ProcessPolicy, PutProcess } from "../api/types";
import { joinWords, splitWords } from "./argv";

export const DEFAULT_POLICY: ProcessPolicy = {
  restart: { when: "failure", delaysS: [30, 60, 120], stableS: 300, successCodes: [0] },
  stop: { command: null, commandGraceS: 30, signal: "SIGTERM", graceS: 10 },
  ready: { probe: null, graceS: 120, onSlow: "report" },
  hang: null,
  ports: [],
};

export interface Variable {
  name: string;
  value: string;
}

export interface Draft {
  name: string;
  command: string;
  folder: string;
  variables: Variable[];
  when: ProcessPolicy["restart"]["when"];
  delays: string;
  stable: string;
  successCodes: string;
  stopCommand: string;
  commandGrace: string;
  signal: ProcessPolicy["stop"]["signal"];
  stopGrace: string;
  probe: "none" | Probe["kind"];
  // The one that is asked; where a line of the output is waited for, the one that is pinged besides, or none.
  probePort: string;
  probePath: string;
  probePattern: string;
  readyGrace: string;
  onSlow: ProcessPolicy["ready"]["onSlow"];
  hang: "off" | "report" | "restart";
  hangAfter: string;
  ports: string;
}

export type Field = keyof Draft;
export type Problems = Partial<Record<Field, string>>;

/** How a field of the form is shown and changed. */
export interface FormFields {
  draft: Draft;
  problems: Problems;
  change: (more: Partial<Draft>) => void;
}

export const ADVANCED: ReadonlySet<Field> = new Set<Field>([
  "when", "delays", "stable", "successCodes", "stopCommand", "commandGrace", "signal", "stopGrace", "probe", "probePort", "probePath",
  "probePattern", "readyGrace", "onSlow", "hang", "hangAfter", "ports",
]);

/** What is written for no numbers at all, where an empty field stands for the default that is shown in it. */
export const NONE = "none";

/** Return numbers as such a field has them. */
export function writeNumbers(values: readonly number[]): string {
  return values.length === 0 ? NONE : values.join(", ");
}

/** Return the form of a new process. */
export function newDraft(more: Partial<Draft> = {}): Draft {
  return { ...draftOf({ name: "", argv: [], folder: null, environment: {}, policy: DEFAULT_POLICY }), ...more };
}

/** Tell whether the values of the environment are known, which are told to who may change them alone. */
export function knowsValues({ environment }: Pick<Process, "environment">): boolean {
  return !Object.values(environment).includes(null);
}

/** Return the form of a process that exists, whose values are known. */
export function draftOf({ name, argv, folder, environment, policy }: Pick<Process, "name" | "argv" | "folder" | "environment" | "policy">): Draft {
  const { restart, stop, ready, hang, ports } = policy;
  const { probe } = ready;
  return {
    name,
    command: joinWords(argv),
    folder: folder ?? "",
    variables: Object.entries(environment).map(([key, value]) => ({ name: key, value: value ?? "" })),
    when: restart.when,
    delays: writeNumbers(restart.delaysS),
    stable: String(restart.stableS),
    successCodes: writeNumbers(restart.successCodes),
    stopCommand: stop.command ?? "",
    commandGrace: String(stop.commandGraceS),
    signal: stop.signal,
    stopGrace: String(stop.graceS),
    probe: probe?.kind ?? "none",
    probePort: probe?.kind === "line" ? String(probe.ping ?? "") : probe && "port" in probe ? String(probe.port) : "",
    probePath: probe?.kind === "http" ? probe.path : "/",
    probePattern: probe?.kind === "log" || probe?.kind === "line" ? probe.pattern : "",
    readyGrace: String(ready.graceS),
    onSlow: ready.onSlow,
    hang: hang?.action ?? "off",
    hangAfter: String(hang?.afterS ?? 60),
    ports: ports.join(", "),
  };
}

export interface Reading {
  wish: PutProcess;
  problems: Problems;
}

// As the API bounds them; each word of a command counts one more, for what parts it from the next.
const MOST_WORDS = 256;
const MOST_CHARACTERS = 8192;
const MOST_VARIABLES = 256;
const NO_PROGRAM = "The first word is the program, and it is empty.";
const FOLDER_LEADS_OUT = "The folder is relative to the workspace and does not lead out of it.";
const SECONDS = { low: 0, high: 86_400, what: "A time is a number of seconds from 0 to 86400" };
const PORT = { low: 1, high: 65_535, what: "A port is a whole number from 1 to 65535", isWhole: true };
const CODE = { low: 0, high: 255, what: "An exit code is a whole number from 0 to 255", isWhole: true };

/** Return the definition that a form stands for, and what is wrong with it; it may be sent where nothing is. */
export function readDraft(draft: Draft, taken: readonly string[]): Reading {
  const problems: Problems = {};
  const note = (field: Field, problem: string | null) => {
    if (problem !== null) problems[field] = problem;
  };
  const number = (field: Field, text: string, range: Range): number => {
    const found = readNumbers(text, range, 1);
    note(field, "problem" in found ? found.problem : found.values.length === 0 ? `${range.what}.` : null);
    return "values" in found ? (found.values[0] ?? 0) : 0;
  };
  const numbers = (field: Field, text: string, range: Range): number[] => {
    const found = readNumbers(text, range, 16);
    note(field, "problem" in found ? found.problem : null);
    return "values" in found ? found.values : [];
  };
  const numbersOr = (field: Field, text: string, range: Range, usual: readonly number[]): number[] => {
    if (text.trim() === "") return [...usual];
    return text.trim().toLowerCase() === NONE ? [] : numbers(field, text, range);
  };
  const usual = DEFAULT_POLICY.restart;
  const command = splitWords(draft.command);
  note("name", complainAboutName(draft.name, taken));
  note("command", complainAboutCommand(command));
  note("folder", complainAboutFolder(draft.folder.trim()));
  note("variables", complainAboutVariables(draft.variables));
  const probe = readProbe(draft, number, note);
  if (draft.hang !== "off" && (probe === null || probe.kind === "log" || (probe.kind === "line" && probe.ping === null))) {
    note("hang", "That a process hangs is told by a probe that can be asked again: a port, an address or a status ping.");
  }
  const wish: PutProcess = {
    argv: "words" in command ? command.words : [],
    folder: draft.folder.trim() || null,
    environment: Object.fromEntries(draft.variables.filter(isFilled).map(({ name, value }) => [name.trim(), value])),
    power: null,
    policy: {
      restart: {
        when: draft.when, delaysS: numbersOr("delays", draft.delays, SECONDS, usual.delaysS), stableS: number("stable", draft.stable, SECONDS),
        successCodes: numbersOr("successCodes", draft.successCodes, CODE, usual.successCodes),
      },
      stop: {
        command: draft.stopCommand.trim() || null, commandGraceS: number("commandGrace", draft.commandGrace, SECONDS),
        signal: draft.signal, graceS: number("stopGrace", draft.stopGrace, SECONDS),
      },
      ready: { probe, graceS: number("readyGrace", draft.readyGrace, SECONDS), onSlow: draft.onSlow },
      hang: draft.hang === "off" ? null : { action: draft.hang, afterS: number("hangAfter", draft.hangAfter, { ...SECONDS, low: 1, what: "A time is a number of seconds from 1 to 86400" }) },
      ports: numbers("ports", draft.ports, PORT),
    },
  };
  return { wish, problems };
}

function readProbe(
  draft: Draft, number: (field: Field, text: string, range: Range) => number, note: (field: Field, problem: string | null) => void,
): Probe | null {
  switch (draft.probe) {
    case "none":
      return null;
    case "log":
      note("probePattern", draft.probePattern === "" ? "Which line tells that it is ready?" : null);
      return { kind: "log", pattern: draft.probePattern };
    case "line":
      note("probePattern", draft.probePattern === "" ? "Which line tells that it is ready?" : null);
      return { kind: "line", pattern: draft.probePattern, ping: draft.probePort.trim() === "" ? null : number("probePort", draft.probePort, PORT) };
    case "http":
      note("probePath", /^\/[!-~]*$/.test(draft.probePath) ? null : "A path begins with / and has no spaces.");
      return { kind: "http", port: number("probePort", draft.probePort, PORT), path: draft.probePath };
    default:
      return { kind: draft.probe, port: number("probePort", draft.probePort, PORT) };
  }
}

interface Range {
  low: number;
  high: number;
  what: string;
  isWhole?: boolean;
}

function readNumbers(text: string, { low, high, what, isWhole = false }: Range, most: number): { values: number[] } | { problem: string } {
  const parts = text.split(/[\s,]+/).filter(Boolean);
  const values = parts.map(Number);
  const odd = parts.find((part, i) => {
    const value = values[i] ?? NaN;
    return !/^\d+(\.\d+)?$/.test(part) || value < low || value > high || (isWhole && !Number.isInteger(value));
  });
  if (odd !== undefined) return { problem: `${what}, not “${odd}”.` };
  return values.length > most ? { problem: most === 1 ? `${what}.` : `There may be at most ${most}.` } : { values };
}

function complainAboutName(name: string, taken: readonly string[]): string | null {
  if (name === "") return "What is it called?";
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(name)) return "A name has 1 to 32 of a-z, 0-9 and -, the first one a letter.";
  return taken.includes(name) ? `There is a process called ${name} already.` : null;
}

function complainAboutCommand(command: ReturnType<typeof splitWords>): string | null {
  if ("problem" in command) return command.problem;
  const { words } = command;
  if (words.length === 0) return "What should run?";
  if (words[0] === "") return NO_PROGRAM;
  if (words.length > MOST_WORDS) return `The command has ${MOST_WORDS} words at most; this has ${words.length}.`;
  const size = words.reduce((sum, word) => sum + countCharacters(word) + 1, 0);
  return size > MOST_CHARACTERS ? `The command has ${MOST_CHARACTERS} characters at most; this has ${size}.` : null;
}

function complainAboutFolder(folder: string): string | null {
  return folder.startsWith("/") || folder.split("/").includes("..") ? FOLDER_LEADS_OUT : null;
}

function complainAboutVariables(variables: readonly Variable[]): string | null {
  const names = variables.filter(isFilled).map(({ name }) => name.trim());
  const odd = names.find((name) => !/^[A-Za-z_][A-Za-z0-9_]{0,255}$/.test(name));
  if (odd !== undefined) return odd === "" ? "Each value needs a name." : `“${odd}” is no name of a variable.`;
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) return `${twice} stands there twice.`;
  if (names.length > MOST_VARIABLES) return `There are ${MOST_VARIABLES} variables at most; these are ${names.length}.`;
  const size = variables.reduce((sum, { value }) => sum + countCharacters(value), 0);
  return size > MOST_CHARACTERS ? `All values together have ${MOST_CHARACTERS} characters at most; these have ${size}.` : null;
}

/** As the API counts them: a letter beyond the first plane is one. */
function countCharacters(text: string): number {
  return Array.from(text).length;
}

function isFilled({ name, value }: Variable): boolean {
  return name.trim() !== "" || value !== "";
}

const FIELD_OF_PATH: Readonly<Record<string, Field>> = {
  name: "name", argv: "command", folder: "folder", environment: "variables",
  "policy.restart.when": "when", "policy.restart.delaysS": "delays", "policy.restart.stableS": "stable", "policy.restart.successCodes": "successCodes",
  "policy.stop.command": "stopCommand", "policy.stop.commandGraceS": "commandGrace", "policy.stop.signal": "signal", "policy.stop.graceS": "stopGrace",
  "policy.ready.probe": "probe", "policy.ready.probe.port": "probePort", "policy.ready.probe.path": "probePath", "policy.ready.probe.pattern": "probePattern",
  "policy.ready.graceS": "readyGrace", "policy.ready.onSlow": "onSlow", "policy.hang": "hang", "policy.hang.action": "hang", "policy.hang.afterS": "hangAfter",
  "policy.ports": "ports",
};

// The API's sentences about the whole of a definition name no path, and the fields by their names in a request.
const SENTENCES: readonly [RegExp, Field | null, (...found: string[]) => string][] = [
  [/first of argv is the program/, "command", () => NO_PROGRAM],
  [/argv has more than (\d+) characters/, "command", (most) => `The command has ${most} characters at most.`],
  [/: folder /, "folder", () => FOLDER_LEADS_OUT],
  [/environment has more than (\d+) variables or (\d+) characters/, "variables", (most, characters) => `There are ${most} variables at most, with ${characters} characters in all values together.`],
  [/: (.+) is no name of a variable/, "variables", (name) => `${name} is no name of a variable.`],
  [/NUL character cannot be part of argv/, null, () => "A NUL character cannot be part of the command, the folder or the environment."],
  [/pattern of the probe: (.+)/, "probePattern", (why) => `This cannot be sought: ${why}`],
];

/** Return a refusal of the API at its fields, and what belongs to none, in the words of the form. */
export function placeRefusal(error: ApiError): { problems: Problems; rest: string | null } {
  const first = error.fields[0];
  const [field, words] = first === undefined ? sayOfWhole(error) : [FIELD_OF_PATH[first.field] ?? null, first.message];
  return field === null ? { problems: {}, rest: words } : { problems: { [field]: words }, rest: null };
}

function sayOfWhole({ code, detail }: ApiError): [Field | null, string] {
  for (const [pattern, field, say] of code === "invalid_body" ? SENTENCES : []) {
    const found = pattern.exec(detail);
    if (found) return [field, say(...found.slice(1))];
  }
  return [null, detail];
}
