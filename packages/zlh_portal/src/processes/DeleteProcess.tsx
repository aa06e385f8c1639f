import { notifications } from "@mantine/notifications";
import { asApiError } from "../api/problem";
import { ConfirmModal } from "../layout/ConfirmModal";
import { useDeleteProcess } from "./queries";

export function DeleteProcess({ vmid, name, onClose }: { vmid: number; name: string; onClose: () => void }) {
  const remove = useDeleteProcess(vmid, name);
  const act = () =>
    remove.mutate(undefined, {
      onError: (error) => notifications.show({ color: "red", title: `${name} was not deleted`, message: asApiError(error).detail }),
      onSettled: onClose,
    });
  return (
    <ConfirmModal
      title={`Delete ${name}?`} action="Delete" isPending={remove.isPending} onConfirm={act} onClose={onClose}
      meaning="It is stopped in order, and its definition and its kept output are removed. Its files stay."
    />
  );
}
