/**
 * Parts of the portal whose code is fetched with their first use, so that the first page is there soon.
 *
 * Where it cannot be fetched, the part says so in its own place, and what is around it stays with all that is typed there.
 */
import { Alert, Button, Text } from "@mantine/core";
import { Component, type ComponentType, lazy, type ReactNode, useState } from "react";
import { checkVersion } from "../api/version";

/** The code of a part is not to be had: no way to the server, or it has another version of the portal by now. */
class CodeMissing extends Error {
  constructor(readonly isReplaced: boolean, cause: unknown) {
    super("The code of a part of the portal could not be fetched.", { cause });
    this.name = "CodeMissing";
  }
}

/** Return the component of a module that is loaded when it is first shown; what shows it stands in a `Suspense`. */
export function lazily<Name extends string, Props extends object>(name: Name, load: () => Promise<Record<Name, ComponentType<Props>>>): ComponentType<Props> {
  const fetchPart = () =>
    lazy<ComponentType<Props>>(async () => {
      const module = await load().catch(async (cause: unknown) => {
        throw new CodeMissing(await checkVersion(), cause);
      });
      return { default: module[name] };
    });
  // What has been fetched is kept; what has failed is forgotten with its next try.
  let latest = fetchPart();
  function Part(props: Props) {
    const [, setTry] = useState(0);
    const retry = () => {
      latest = fetchPart();
      setTry((before) => before + 1);
    };
    const Shown: ComponentType<Props> = latest as ComponentType<Props>;
    return <WhereMissing onRetry={retry}><Shown {...props} /></WhereMissing>;
  }
  return Part;
}

interface Held {
  children: ReactNode;
  onRetry: () => void;
}

class WhereMissing extends Component<Held, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  static getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error : new Error("Something other than an error was thrown.", { cause: error }) };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (error === null) return this.props.children;
    if (!(error instanceof CodeMissing)) throw error;
    const retry = () => {
      this.props.onRetry();
      this.setState({ error: null });
    };
    return error.isReplaced ? <Replaced /> : <Missing onRetry={retry} />;
  }
}

function Replaced() {
  return (
    <Alert color="indigo" title="The portal was updated" role="alert" data-testid="code-missing">
      <Text size="sm" mb="xs">This part belongs to the version before, which is no longer there. Save what you are writing elsewhere on this page, then reload.</Text>
      <Button size="compact-sm" variant="default" onClick={() => window.location.reload()}>Reload</Button>
    </Alert>
  );
}

function Missing({ onRetry }: { onRetry: () => void }) {
  return (
    <Alert color="red" title="This part could not be loaded" role="alert" data-testid="code-missing">
      <Text size="sm" mb="xs">The server did not give out its code. Check your connection and try again.</Text>
      <Button size="compact-sm" variant="default" onClick={onRetry}>Try again</Button>
    </Alert>
  );
}
