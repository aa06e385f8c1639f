/** The rest of a list that comes page by page. */
import { Button, Group } from "@mantine/core";

interface Props {
  query: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown };
  label: string;
}

export function LoadMore({ query, label }: Props) {
  if (!query.hasNextPage) return null;
  return <Group justify="center"><Button variant="default" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{label}</Button></Group>;
}
