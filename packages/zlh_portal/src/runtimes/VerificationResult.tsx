/** What a check of all files of a version has found. The names are a container's: they are text and nothing else. */
import { Alert, Text } from "@mantine/core";
import type { RuntimeVerification } from "../api/types";
import { Name } from "../layout/Name";
import classes from "./runtimes.module.css";

const KINDS = [
  ["changed", "Changed"],
  ["missing", "Missing"],
  ["added", "Added"],
] as const;

export function VerificationResult({ found }: { found: RuntimeVerification }) {
  if (found.verified) {
    return <Alert color="teal" mt="xs" p="xs" data-testid="verification" role="status"><Text size="sm">Every file of <Name text={found.name} /> <Name text={found.version} /> is what was installed.</Text></Alert>;
  }
  const named = KINDS.reduce((sum, [kind]) => sum + found[kind].length, 0);
  return (
    <Alert color="orange" mt="xs" title={`${found.faults} ${found.faults === 1 ? "file differs" : "files differ"}`} data-testid="verification" role="status">
      {KINDS.map(([kind, label]) => found[kind].length > 0 && (
        <div key={kind}>
          <Text size="xs" fw={600} mt={4}>{label}</Text>
          <ul className={classes["files"]} tabIndex={0} aria-label={`${label} files`}>{found[kind].map((name) => <li key={name} className="mono"><Name text={name} /></li>)}</ul>
        </div>
      ))}
      {named < found.faults && <Text size="xs" c="dimmed" mt={4}>{found.faults - named} more are not named.</Text>}
      <Text size="sm" mt={6}>Repair unpacks this version anew from its signed archive; what was added to it goes.</Text>
    </Alert>
  );
}
