/** The title of the browser's tab. */
import { useDocumentTitle } from "@mantine/hooks";

export function usePageTitle(page: string): void {
  useDocumentTitle(`${page} · ZLH`);
}
