/** The rest of a list that comes page by page; a page that fails is told here, and asked for again. */
import { Button, Group } from "@mantine/core";
import { Problem } from "./Problem";

interface Props {
  query: { hasNextPage: boolean; isFetchingNextPage: boolean; isFetchNextPageError: boolean; error: unknown; fetchNextPage: () => unknown };
  label: string;
}

export function LoadMore({ query, label }: Props) {
  const more = () => void query.fetchNextPage();
  if (query.isFetchNextPageError) return <Problem error={query.error} title="The rest cannot be shown" onRetry={more} />;
  if (!query.hasNextPage) return null;
  return <Group justify="center"><Button variant="default" loading={query.isFetchingNextPage} onClick={more}>{label}</Button></Group>;
}
