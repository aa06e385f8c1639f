/** What a token may be used for, in words and in usual choices; pure. */
import type { Me, Permission } from "../api/types";
import { whyNot } from "../session/permissions";

export interface Scope {
  permission: Permission;
  label: string;
  meaning: string;
}

export interface ScopeGroup {
  title: string;
  scopes: readonly Scope[];
}

const GROUPS: readonly ScopeGroup[] = [
  {
    title: "Containers",
    scopes: [
      { permission: "containers:view", label: "See them", meaning: "Their state, history and metrics" },
      { permission: "containers:power", label: "Start and stop them", meaning: "Containers and the processes in them" },
      { permission: "containers:change", label: "Create, change and delete them", meaning: "Size, name, processes, runtimes, published ports" },
      { permission: "consoles:use", label: "Use consoles and terminals", meaning: "Whoever has a shell has all that is in the container" },
      { permission: "files:read", label: "Read files", meaning: "List, read, search and download what is in the container" },
      { permission: "files:write", label: "Change files", meaning: "Write, upload, move and delete files" },
    ],
  },
  {
    title: "Customers",
    scopes: [
      { permission: "customer:view", label: "See members and quota", meaning: "Who belongs to a customer, and how much it uses" },
      { permission: "customer:manage", label: "Manage members", meaning: "Roles, invitations, the customer's name" },
      { permission: "audit-log:view", label: "Read the audit log", meaning: "Who did what, and from where" },
    ],
  },
  {
    title: "Your account",
    scopes: [{ permission: "account:manage", label: "Manage your account", meaning: "Your password, sessions and tokens: it can make further tokens" }],
  },
  {
    title: "Platform",
    scopes: [
      { permission: "platform:view", label: "See the platform", meaning: "All customers, users and the state of everything" },
      { permission: "platform:manage", label: "Run the platform", meaning: "Customers, users, quotas, suspensions" },
    ],
  },
];

/** Return what can be chosen; what concerns the platform is for operators alone. */
export function offerScopes(isOperator: boolean): readonly ScopeGroup[] {
  return isOperator ? GROUPS : GROUPS.filter(({ title }) => title !== "Platform");
}

const WORDS = new Map(GROUPS.flatMap(({ title, scopes }) => scopes.map((scope) => [scope.permission, { ...scope, title }] as const)));

/** "Containers: see them"; a scope of a newer API keeps its name. */
export function nameScope(permission: Permission): string {
  const scope = WORDS.get(permission);
  return scope ? `${scope.title}: ${scope.label.charAt(0).toLowerCase()}${scope.label.slice(1)}` : permission;
}

/** What a token is good for: every scope that is named, or all that its user can, also what is added later. */
export type Choice = "read-only" | "deploy" | "everything" | "custom";

export const PRESETS: readonly { value: Exclude<Choice, "custom">; label: string; meaning: string }[] = [
  { value: "read-only", label: "Read only", meaning: "Looks at containers, members and quota, and changes nothing." },
  { value: "deploy", label: "Deploy", meaning: "Creates, changes, starts and stops containers; no shell, and nothing about people." },
  { value: "everything", label: "Everything", meaning: "All that you can do yourself, also what is added later. Rarely needed." },
];

const SETS: Readonly<Record<"read-only" | "deploy", readonly Permission[]>> = {
  "read-only": ["containers:view", "customer:view"],
  deploy: ["containers:view", "containers:power", "containers:change"],
};

/** Return the scopes of a usual choice; null for everything. */
export function scopesOf(choice: "read-only" | "deploy" | "everything"): readonly Permission[] | null {
  return choice === "everything" ? null : SETS[choice];
}

/** Return which usual choice these scopes are. */
export function choiceOf(scopes: readonly Permission[] | null): Choice {
  if (scopes === null) return "everything";
  const isSame = (other: readonly Permission[]) => other.length === scopes.length && other.every((entry) => scopes.includes(entry));
  return isSame(SETS["read-only"]) ? "read-only" : isSame(SETS.deploy) ? "deploy" : "custom";
}

/** Tell whether somebody can give a scope to a token that reaches one customer, or all of theirs: nobody hands on what they may not do. */
export function mayGive(me: Me, permission: Permission, customer: string | null): boolean {
  const reached = customer === null ? me.customers.map(({ id }) => id) : [customer];
  return whyNot(me, permission) === null || reached.some((id) => whyNot(me, permission, id) === null);
}

/** "Everything", "Deploy", "Containers: see them and 2 more". */
export function summarizeScopes(scopes: readonly Permission[] | null): string {
  const choice = choiceOf(scopes);
  const preset = PRESETS.find(({ value }) => value === choice);
  if (preset) return preset.label;
  const [first, ...rest] = scopes ?? [];
  if (!first) return "Nothing";
  return rest.length === 0 ? nameScope(first) : `${nameScope(first)} and ${rest.length} more`;
}

/** Return a call that can be tried at once. The token goes in through standard input, so that no list of processes shows it. */
export function renderCurl(origin: string, secret: string, scopes: readonly Permission[] | null): string {
  const path = scopes === null || scopes.includes("containers:view") ? "/api/containers" : "/api/me";
  return `curl -sS -H @- ${origin}${path} <<'EOF'\nAuthorization: Bearer ${secret}\nEOF`;
}
