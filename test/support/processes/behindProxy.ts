import { type ChildProcess, spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { eventually } from '../suite/eventually.ts'
import { PATH } from '../suite/needs.ts'
import { projectRoot } from '../project/package.ts'
import { type Environment, ownFolder, type ServiceProcess, startService } from './service.ts'

/** A proxy that the documents have a configuration file for, and how a test runs that very file. */
export interface ShippedProxy {
  program: string
  /** With this argument the program prints its version. */
  argument: string
  file: string
  /** The configuration that the program reads, made from the file as it is in the documents. */
  configuration(shipped: string, folder: string): Record<string, string>
  args(folder: string, port: number): string[]
}

/** @param http the directives in the `http` block */
export function nginxConfiguration(folder: string, http: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join('\n')
  return `daemon off;\nmaster_process off;\npid ${folder}/nginx.pid;\nevents {}\nhttp {\naccess_log off;\n${temporary}\n${http}\n}\n`
}

export const PROXIES = {
  nginx: {
    program: 'nginx',
    argument: '-v',
    file: 'nginx.conf',
    configuration: (shipped, folder) => ({ 'nginx.conf': nginxConfiguration(folder, shipped) }),
    args: (folder) => ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'],
  },
  caddy: {
    program: 'caddy',
    argument: 'version',
    file: 'Caddyfile',
    configuration: (shipped) => ({ Caddyfile: `{\nadmin off\nauto_https off\n}\n${shipped}` }),
    args: (folder) => ['run', '--adapter', 'caddyfile', '--config', join(folder, 'Caddyfile')],
  },
  traefik: {
    program: 'traefik',
    argument: 'version',
    file: 'traefik.yml',
    configuration: (shipped) => ({ 'dynamic.yml': shipped }),
    args: (folder, port) => [
      `--entryPoints.web.address=127.0.0.1:${port}`,
      `--providers.file.filename=${join(folder, 'dynamic.yml')}`,
      '--global.checkNewVersion=false',
    ],
  },
  envoy: {
    program: 'envoy',
    argument: '--version',
    file: 'envoy.yaml',
    configuration: (shipped) => ({ 'envoy.yaml': shipped }),
    args: (folder) => ['-c', join(folder, 'envoy.yaml'), '--use-dynamic-base-id', '--concurrency', '1'],
  },
} satisfies Record<string, ShippedProxy>

export interface Sent {
  method: string
  url: string
  /** Names and values in turn, as they came. */
  fields: readonly string[]
}

export interface Behind {
  url: string
  service: ServiceProcess
  /** The requests that reached the application. */
  reached: Sent[]
  /** The requests that reached Tokenledger. */
  asked: Sent[]
  close(): Promise<void>
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port

async function listening(handle?: RequestListener): Promise<Server> {
  const server = createServer(handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

export async function freePort(): Promise<number> {
  const server = await listening()
  const port = portOf(server)
  await new Promise((resolve) => server.close(resolve))
  return port
}

const sent = ({ method = '', url = '', rawHeaders }: Parameters<RequestListener>[0]): Sent => ({
  method,
  url,
  fields: rawHeaders,
})

/** Records each request and passes it on, with every field as it came. */
const relayTo =
  (port: string, asked: Sent[]): RequestListener =>
  (question, answer) => {
    asked.push(sent(question))
    const { method, url: path, rawHeaders: headers } = question
    const onward = request({ host: '127.0.0.1', port, method, path, headers }, (reply) => {
      answer.writeHead(reply.statusCode ?? 500, reply.rawHeaders)
      reply.pipe(answer)
    })
    onward.on('error', () => answer.destroy())
    question.pipe(onward)
  }

/**
 * An application and a service behind a real proxy, which uses the file of the documents. The service gets the settings
 * that the file needs.
 * @param change changes the file, in addition to its addresses
 */
export async function startBehind(
  proxy: ShippedProxy,
  env: Environment = {},
  change: (shipped: string) => string = (shipped) => shipped,
): Promise<Behind> {
  const [reached, asked]: Sent[][] = [[], []]
  const app = await listening((incoming, answer) => {
    reached?.push(sent(incoming))
    const body = `the application at ${incoming.url}`
    answer.writeHead(incoming.url?.startsWith('/missing') ? 404 : 200, { 'Content-Length': body.length })
    answer.end(body)
  })
  const shipped = await readFile(join(projectRoot, 'docs/proxies', proxy.file), 'utf8')
  const settings = [...shipped.matchAll(/\b([A-Z][A-Z_]+)=(\S+)/g)].map(([, name = '', value]) => [
    name,
    value,
  ])
  const service = await startService({
    USAGE_FLUSH_MS: '20',
    ...(Object.fromEntries(settings.slice(0, 2)) as Environment),
    ...env,
  })
  const relay = await listening(relayTo(new URL(service.url).port, asked ?? []))
  const port = await freePort()
  const folder = await ownFolder()
  const placed = withPorts(change(shipped), { 3000: portOf(relay), 8080: port, 4000: portOf(app) })
  for (const [name, text] of Object.entries(proxy.configuration(placed, folder))) {
    await writeFile(join(folder, name), text)
  }
  const child = spawn(proxy.program, proxy.args(folder, port), {
    env: { PATH, HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  }
  const url = `http://127.0.0.1:${port}`
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`${proxy.program} ended: ${output}`)
    const { status } = await fetch(url)
    if (status !== 401) throw new Error(`${proxy.program} answers ${status}: ${output}`)
  }, 20_000)
  return {
    url,
    service,
    reached: reached ?? [],
    asked: asked ?? [],
    async close() {
      await ended(child)
      for (const server of [app, relay]) {
        server.close()
        server.closeAllConnections()
      }
    },
  }
}

/** The file with the addresses of the test. */
function withPorts(shipped: string, ports: Record<number, number>): string {
  let text = shipped.replaceAll(/^\s*#.*$/gm, '')
  for (const [from, to] of Object.entries(ports)) {
    // Traefik has its own address in another file.
    expect(text.split(new RegExp(`\\b${from}\\b`)).length, from).to.be.within(from === '8080' ? 1 : 2, 2)
    text = text.replace(new RegExp(`\\b${from}\\b`), String(to))
  }
  return text
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await gone
}
