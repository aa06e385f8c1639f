/** Whatever can go wrong with a call, as one error with a stable code and a sentence for people. */

/** One complaint about one field of what was sent. */
export interface FieldProblem {
  field: string;
  message: string;
  suggestion: string | null;
}

/** No answer at all: the API, or the way to it, is down. */
const UNREACHABLE = "unreachable";
/** Something that stands between here and the API answered in its place. */
const ELSEWHERE = "answered_elsewhere";
/** An answer of no known shape, as a proxy gives it whose API is away. */
const NO_PROBLEM = "not_a_problem";

export class ApiError extends Error {
  constructor(
    readonly code: string,
    readonly status: number,
    readonly detail: string,
    readonly requestId: string | null = null,
    readonly fields: readonly FieldProblem[] = [],
  ) {
    super(detail);
    this.name = "ApiError";
  }
}

const FIELD_OF_CODE: Readonly<Record<string, string>> = {
  name_taken: "name",
  customer_name_taken: "name",
  email_invalid: "email",
  already_member: "email",
  password_wrong: "currentPassword",
  scope_not_yours: "scopes",
  name_reserved: "name",
  process_name_invalid: "name",
  runtime_missing: "runtime",
  addon_not_offered: "enableCodeServer",
  template_not_offered: "template",
  template_not_supported: "template",
  template_missing: "template",
  eula_not_accepted: "acceptEula",
  visibility_not_offered: "visibility",
};

/** Return the error that a problem document (or whatever stood in its place) describes. */
export function parseProblem(status: number, body: unknown): ApiError {
  if (!isRecord(body) || typeof body["code"] !== "string") {
    return new ApiError(NO_PROBLEM, status, sentenceOfStatus(status));
  }
  const code = body["code"];
  const detail = text(body["detail"]) ?? text(body["title"]) ?? sentenceOfStatus(status);
  return new ApiError(code, status, detail, text(body["requestId"]), parseFields(code, detail, body["problems"]));
}

/** Return the error for a call that got no answer. */
export function unreachable(): ApiError {
  return new ApiError(UNREACHABLE, 0, "The API does not answer. Check your connection; this page keeps trying.");
}

/** Tell whether a page came where data was asked for: a proxy's own, or the sign-in of somebody's network. The text of a file may be a page. */
export function comesFromElsewhere(url: string, response: Pick<Response, "headers">): boolean {
  return (response.headers.get("Content-Type") ?? "").startsWith("text/html") && !/\/files\/content\b/.test(url);
}

/** Return the error for such an answer. */
export function elsewhere(status: number): ApiError {
  return status >= 500
    ? new ApiError(ELSEWHERE, status, sentenceOfStatus(status))
    : new ApiError(ELSEWHERE, 0, "Something between you and the API answered in its place, such as the sign-in page of a network. This page keeps trying.");
}

/** Tell whether the API itself has said this. */
export function isFromApi({ code, status }: ApiError): boolean {
  return code !== UNREACHABLE && code !== ELSEWHERE && !(code === NO_PROBLEM && status >= 500);
}

/** Return `error` as an ApiError, whatever was thrown. */
export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError("unexpected", 0, "Something unexpected went wrong in this page.");
}

/** Return the complaints per field, and what belongs to none of `known`. */
export function splitByField(error: ApiError, known: readonly string[]): { fields: Record<string, string>; rest: string | null } {
  const fields: Record<string, string> = {};
  const rest: string[] = [];
  for (const problem of error.fields) {
    const message = problem.suggestion ? `${problem.message} Try ${problem.suggestion}.` : problem.message;
    if (known.includes(problem.field)) fields[problem.field] ??= message;
    else rest.push(message);
  }
  if (error.fields.length === 0) rest.push(error.detail);
  return { fields, rest: rest.length > 0 ? rest.join(" ") : null };
}

function parseFields(code: string, detail: string, problems: unknown): FieldProblem[] {
  if (Array.isArray(problems)) {
    return problems.filter(isRecord).flatMap((entry) => {
      const message = text(entry["message"]);
      return message ? [{ field: text(entry["field"]) ?? "", message, suggestion: text(entry["suggestion"]) }] : [];
    });
  }
  const field = FIELD_OF_CODE[code] ?? (code === "invalid_body" ? fieldOfPath(detail) : null);
  return field ? [{ field, message: code === "invalid_body" ? sayLimit(detail) : detail, suggestion: null }] : [];
}

/** The API names the place of a wrong value like "… - at `$.name`", deeper ones like `$.policy.ports[...]`. */
function fieldOfPath(detail: string): string | null {
  return /`\$\.(\w+(?:\.\w+)*)[^`]*`/.exec(detail)?.[1] ?? null;
}

/** A limit of one field in words, where the API tells it in the words of its parser. */
function sayLimit(detail: string): string {
  const found = /Expected `(str|int|float|array)` (of length )?([<>]=) (-?[\d.]+)/.exec(detail);
  const [, kind, , sign, limit] = found ?? [];
  if (!kind || !limit) return detail;
  const bound = `${limit} at ${sign === "<=" ? "most" : "least"}`;
  switch (kind) {
    case "str":
      return sign === ">=" && limit === "1" ? "It may not be empty." : `It has ${limit} characters at ${sign === "<=" ? "most" : "least"}.`;
    case "array":
      return `There are ${bound}.`;
    default:
      return `It is ${bound}.`;
  }
}

function sentenceOfStatus(status: number): string {
  if (status === 502 || status === 503 || status === 504) {
    return "The API is not available right now. This page keeps trying.";
  }
  return `The API answered with status ${status} and no explanation.`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}
