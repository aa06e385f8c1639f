/** Variables of a game template: what a form begins with, what cannot be sent, and what has changed; pure. The API decides. */
import type { GameValue, GameVariable } from "../api/types";

/** What a form holds; a number that is still being typed is a text. */
export type Values = Readonly<Record<string, GameValue>>;

/** Return the name of a variable's field, as the API names it in what it refuses. */
export function fieldOf(name: string): string {
  return `variables.${name}`;
}

/** Return what each variable is, with the template's default where `known` says nothing. */
export function fillValues(variables: readonly GameVariable[], known: Values = {}): Record<string, GameValue> {
  return Object.fromEntries(variables.map((variable) => [variable.name, Object.hasOwn(known, variable.name) ? (known[variable.name] ?? variable.default) : variable.default]));
}

/** Return the values of these variables that differ from `before`. */
export function changedValues(variables: readonly GameVariable[], before: Values, now: Values): Record<string, GameValue> {
  const changed = variables.flatMap(({ name }) => {
    const value = now[name];
    return value === undefined || value === before[name] ? [] : [[name, value] as const];
  });
  return Object.fromEntries(changed);
}

/** Return what is wrong with a value, in a sentence; null where nothing is. */
export function complainAbout(variable: GameVariable, value: GameValue | undefined): string | null {
  switch (variable.kind) {
    case "integer":
      return complainAboutNumber(value, variable.minimum, variable.maximum);
    case "text":
      return complainAboutText(String(value ?? ""), variable.maxLength, variable.pattern);
    case "choice":
      return variable.choices.includes(String(value)) ? null : `It is one of ${variable.choices.join(", ")}.`;
    case "boolean":
      return null;
  }
}

/** Return the complaints of a form, by the names of the variables. */
export function complainAboutAll(variables: readonly GameVariable[], values: Values): Record<string, string> {
  return Object.fromEntries(variables.flatMap((variable) => {
    const complaint = complainAbout(variable, values[variable.name]);
    return complaint === null ? [] : [[variable.name, complaint]];
  }));
}

/** Return what was refused of variables, by their own names. */
export function errorsOfVariables(names: readonly string[], fields: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => {
    const message = fields[fieldOf(name)];
    return message === undefined ? [] : [[name, message]];
  }));
}

/** What a variable takes, beside its description. */
export function describeRange(variable: GameVariable): string {
  return variable.kind === "integer" ? `From ${variable.minimum} to ${variable.maximum}.` : "";
}

function complainAboutNumber(value: GameValue | undefined, minimum: number, maximum: number): string | null {
  const isWithin = typeof value === "number" && Number.isInteger(value) && value >= minimum && value <= maximum;
  return isWithin ? null : `It is a whole number from ${minimum} to ${maximum}.`;
}

function complainAboutText(text: string, maxLength: number, pattern: string | null): string | null {
  const length = Array.from(text).length;
  if (length > maxLength) return `It has ${maxLength} characters at most, and these are ${length}.`;
  if (/\p{Cc}/u.test(text)) return "It is one line, without control characters.";
  return pattern === null || matches(text, pattern) ? null : `It must match ${pattern}.`;
}

/** A pattern that this browser cannot read is left to the API. */
function matches(text: string, pattern: string): boolean {
  try {
    return new RegExp(`^(?:${pattern})$`, "u").test(text);
  } catch {
    return true;
  }
}
