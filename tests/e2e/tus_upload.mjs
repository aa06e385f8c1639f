// Uploads a file with tus-js-client, as the portal does; prints one line of JSON for each answer, and the address at the end.
// Arguments: the folder of the client, then {endpoint, file, path, chunkSize, headers}.
import { createReadStream } from 'node:fs';
import { createRequire } from 'node:module';

const [folder, given] = process.argv.slice(2);
const { Upload } = createRequire(`${folder}/`)('tus-js-client');
const { endpoint, file, path, chunkSize, headers } = JSON.parse(given);
const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const upload = new Upload(createReadStream(file), {
  endpoint,
  headers,
  chunkSize,
  retryDelays: Array(20).fill(250),
  metadata: { path, overwrite: 'false' },
  onAfterResponse: (asked, answer) =>
    tell({
      method: asked.getMethod(),
      from: asked.getHeader('Upload-Offset') ?? null,
      status: answer.getStatus(),
      to: answer.getHeader('Upload-Offset') ?? null,
    }),
  onError: (error) => {
    tell({ failed: String(error) });
    process.exitCode = 1;
  },
  onSuccess: () => tell({ address: upload.url }),
});
upload.start();
