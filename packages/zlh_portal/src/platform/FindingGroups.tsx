/** What does not agree, by kind, the worst first; each with what to do. */
import { Code, Group as Row, Paper, Stack, Text, Title } from "@mantine/core";
import type { AuditReport } from "../api/types";
import { ToneBadge } from "../layout/ToneBadge";
import classes from "./platform.module.css";
import { factsOf, type Group, groupFindings, nameFinding } from "./standing";

export function FindingGroups({ report }: { report: AuditReport }) {
  const groups = groupFindings(report.findings);
  if (groups.length === 0) return null;
  return (
    <Stack gap="lg" data-testid="findings">
      {groups.map((group) => <FindingGroup key={group.kind} group={group} />)}
      {report.leftOut > 0 && <Text size="sm" c="dimmed">There are {report.leftOut} more; <span className="mono">zlh-api audit</span> lists all of them.</Text>}
    </Stack>
  );
}

function FindingGroup({ group: { kind, title, meaning, tone, findings } }: { group: Group }) {
  return (
    <section aria-labelledby={`kind-${kind}`} data-testid={`kind-${kind}`}>
      <Row gap="xs" mb={2}>
        <Title order={2} fz="lg" id={`kind-${kind}`}>{title}</Title>
        <ToneBadge words={{ label: String(findings.length), tone, meaning: kind }} testId={`count-${kind}`} />
      </Row>
      <Text size="sm" c="dimmed" mb="xs">{meaning}</Text>
      <Paper p={0}>
        <ul className={classes["list"]}>
          {findings.map((finding, index) => (
            <li key={index} className={classes["item"]} data-testid="finding">
              <div className={classes["what"]}>
                <Text size="sm" fw={600}>{nameFinding(finding)}</Text>
                <Text size="xs" c="dimmed" fw={400}>{finding.remedy === "platform" ? "mended by itself" : finding.severity === "note" ? "nothing to do" : "needs a person"}</Text>
              </div>
              <div className={classes["text"]}>
                <Text size="sm">{finding.message.split("`").map((part, at) => (at % 2 === 1 ? <Code key={at}>{part}</Code> : part))}</Text>
                <Text size="xs" c="dimmed" className="numbers">{factsOf(finding).join(" · ")}</Text>
              </div>
            </li>
          ))}
        </ul>
      </Paper>
    </section>
  );
}
