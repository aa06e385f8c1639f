/** What was found in every kind of shell, as rows that can be read; pure. */
import type { ShellReport } from "../api/types";
import { capitalize } from "../layout/words";

interface ShellRow {
  key: string;
  /** Every kind that has it alike. */
  modes: string;
  what: string | null;
  expected: string;
  found: string;
  problem: string | null;
}

const NOTHING = "nothing";
const MODES: Readonly<Record<string, string>> = {
  sh: "sh", "sh login": "sh (login)", script: "bash script", login: "bash (login)", interactive: "bash (interactive)",
  "login interactive": "bash (interactive login)", ssh: "ssh command", cron: "cron job of bash", "cron sh": "cron job of sh", "zsh login interactive": "zsh (interactive login)", "fish login interactive": "fish (interactive login)", unit: "systemd service",
  "code-server terminal": "code-server’s terminal", "code-server extension": "code-server’s extensions",
  "shells.command_foreign": "all of them", "shells.variable_refused": "all of them", "shells.not_written": "all of them", "shells.not_reloaded": "systemd services",
};

/** Return the kind of shell in words. */
function nameMode(mode: string): string {
  return MODES[mode] ?? mode;
}

/** Return what differs, one row for each difference and problem, with all kinds of shell that have it. */
export function listDifferences(report: ShellReport): ShellRow[] {
  const rows = new Map<string, ShellRow & { of: string[] }>();
  for (const { mode, ok, differences, problem } of report.checks) {
    if (ok) continue;
    const found: Omit<ShellRow, "key" | "modes">[] = differences.map((each) => ({ what: each.what, expected: each.expected ?? NOTHING, found: each.found ?? NOTHING, problem: null }));
    if (problem !== null) found.push({ what: null, expected: "", found: "", problem });
    for (const row of found) {
      const key = JSON.stringify([row.what, row.expected, row.found, row.problem]);
      const known = rows.get(key) ?? { ...row, key, modes: "", of: [] };
      known.of.push(nameMode(mode));
      rows.set(key, known);
    }
  }
  return [...rows.values()].map(({ of, ...row }) => ({ ...row, modes: capitalize([...new Set(of)].join(", ")) }));
}

/** Return one line for a report. */
export function summarize(report: ShellReport): string {
  const differing = report.checks.filter(({ ok }) => !ok).length;
  if (report.checks.length === 0) return "No kind of shell could be looked at.";
  if (differing === 0) return `All ${report.checks.length} kinds of shells and programs find the same commands, variables and order of PATH.`;
  return `${differing} of ${report.checks.length} checks did not find what they should.`;
}
