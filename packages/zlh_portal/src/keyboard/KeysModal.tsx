/** All keys of the page that is shown. */
import { Kbd, Stack, Table, Title } from "@mantine/core";
import { Modal } from "../layout/Modal";
import { type BindingGroup, nameKeys } from "./keys";
import { isApple } from "./machine";

export function KeysModal({ groups, onClose }: { groups: readonly BindingGroup[]; onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title="Keys" centered>
      <Stack gap="lg" data-testid="keys">
        {groups.map(({ title, bindings }) => (
          <section key={title} aria-label={title}>
            <Title order={3} fz="sm" mb={4}>{title}</Title>
            <Table>
              <Table.Tbody>
                {bindings.map(({ keys, meaning }) => (
                  <Table.Tr key={keys}>
                    <Table.Td>{meaning}</Table.Td>
                    <Table.Td ta="right">{nameKeys(keys, isApple()).map((key) => <Kbd key={key} ml={4}>{key}</Kbd>)}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </section>
        ))}
      </Stack>
    </Modal>
  );
}
