/** A new token, whose secret is shown this once. */
import { Alert, Stack, Text } from "@mantine/core";
import type { TokenMade } from "../api/types";
import { Name } from "../layout/Name";
import { Secret } from "../layout/Secret";
import { renderCurl } from "./scopes";

export function TokenNote({ made: { token, secret }, onClose }: { made: TokenMade; onClose: () => void }) {
  return (
    <Alert color="teal" title={<>The token <Name text={token.name} /> is made</>} withCloseButton closeButtonLabel="Hide the secret" onClose={onClose} data-testid="token-made">
      <Stack gap="sm">
        <Text size="sm">Its secret is shown this once, and kept nowhere that it could be read again. Put it where your program reads secrets from.</Text>
        <Secret label="Secret" text={secret} testId="token-secret" />
        <Secret label="Try it in a shell" text={renderCurl(window.location.origin, secret, token.scopes)} testId="token-curl" />
      </Stack>
    </Alert>
  );
}
