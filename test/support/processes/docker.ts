import { chmodSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

/** A program `docker` that does what documented commands ask of it, without containers. */
export interface FakeDocker {
  /** Settings for a shell that runs such commands. */
  env: Record<string, string>
  close(): Promise<void>
}

/**
 * `docker compose run … --entrypoint <program> <service> …` runs the program here, on `folder` in place of the volume's
 * path in the container. All else is asked of `compose`, by its arguments; what that throws makes the command fail.
 */
export async function fakeDocker(
  bin: string,
  volume: { path: string; folder: string },
  compose: (args: readonly string[]) => Promise<void>,
): Promise<FakeDocker> {
  const server = createServer((request, response) => {
    const args = new URL(request.url ?? '', 'http://docker').searchParams.getAll('a')
    compose(args).then(
      () => response.end(),
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const ask = `
    const url = new URL('http://127.0.0.1:${port}')
    for (const argument of process.argv.slice(1)) url.searchParams.append('a', argument)
    fetch(url).then(async (answer) => {
      console.error(await answer.text())
      process.exit(answer.ok ? 0 : 1)
    })`
  writeFileSync(join(bin, 'ask.mjs'), ask.replaceAll('slice(1)', 'slice(2)'))
  writeFileSync(
    join(bin, 'docker'),
    `#!/usr/bin/env bash
shift
if [ "$1" = run ]; then
  while [ "$1" != --entrypoint ]; do shift; done
  program=$2
  shift 3
  exec "$program" "\${@//${volume.path.replaceAll('/', '\\/')}/${volume.folder.replaceAll('/', '\\/')}}"
fi
exec '${process.execPath}' '${join(bin, 'ask.mjs')}' "$@"
`,
  )
  chmodSync(join(bin, 'docker'), 0o755)
  return {
    env: { PATH: `${bin}:${process.env.PATH}` },
    async close() {
      server.close()
      await once(server, 'close')
    },
  }
}
