import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The project's own folder, relative to the compiled test. */
export const projectRoot = fileURLToPath(new URL('../../../../', import.meta.url))

export interface Ended {
  code: number
  stdout: string
  stderr: string
}

/** Runs a command to its end, and returns even if its exit code is not 0. */
export function run(command: string, args: readonly string[], cwd: string, seconds = 120): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { cwd, env: outsideEnvironment(), timeout: seconds * 1000, maxBuffer: 2 ** 26 }
    execFile(command, args, options, (error, stdout, stderr) => {
      resolve({ code: error ? (typeof error.code === 'number' ? error.code : -1) : 0, stdout, stderr })
    })
  })
}

/**
 * The environment of a user's shell: without what `npm test` adds about this package, which would lead an `npm install`
 * elsewhere back here, and without coverage, which is not about other people's code.
 */
export function outsideEnvironment(): NodeJS.ProcessEnv {
  const ours =
    /^(npm_(lifecycle|package|command|execpath|node_execpath)|npm_config_(local_prefix|package|call)$|INIT_CWD|NODE_V8_COVERAGE)/
  const others = Object.entries(process.env).filter(([name]) => !ours.test(name))
  // Node hands this one on to every child, but where it is said to be absent.
  return { ...Object.fromEntries(others), NODE_V8_COVERAGE: undefined }
}
