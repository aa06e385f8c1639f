/** Holds a part of a page: one that throws is told of in its own place, and what is around it stays. */
import { Alert, Button, Text } from "@mantine/core";
import { Component, type ReactNode } from "react";

interface Held {
  children: ReactNode;
}

export class WhereBroken extends Component<Held, { isBroken: boolean }> {
  override state = { isBroken: false };

  static getDerivedStateFromError() {
    return { isBroken: true };
  }

  override render(): ReactNode {
    if (!this.state.isBroken) return this.props.children;
    return (
      <Alert color="red" title="This part broke" role="alert" data-testid="part-broken">
        <Text size="sm" mb="xs">That is a mistake in the portal. Your container is not affected, and the other parts of this page work.</Text>
        <Button size="compact-sm" variant="default" onClick={() => this.setState({ isBroken: false })}>Show it again</Button>
      </Alert>
    );
  }
}
