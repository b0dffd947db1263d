import { type ChildProcess, spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { CLI } from '../support/cli.ts'
import { jwtFor, PEPPERS, SECRET } from '../support/ledger.ts'
import { projectRoot } from '../support/package.ts'

const EXAMPLE = join(projectRoot, 'docs/examples/orders')

interface Running {
  url: string
  child: ChildProcess
  /** Exit code. */
  exited: Promise<number | null>
}

/** Copied and installed as its README says, with this package as it is built in place of the published one. */
describe('the example of a Koa app', () => {
  let folder: string
  let app: Running

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'example-'))
    await cp(EXAMPLE, folder, { recursive: true })
    const modules = join(folder, 'node_modules')
    await mkdir(join(modules, '.bin'), { recursive: true })
    await mkdir(join(modules, '@koa'))
    for (const name of ['koa', '@koa/router']) {
      await symlink(join(projectRoot, 'node_modules', name), join(modules, name))
    }
    await symlink(projectRoot, join(modules, 'tokenledger'))
    // An installation makes the command executable; a build does not.
    const command = `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`
    await writeFile(join(modules, '.bin', 'tokenledger'), command, { mode: 0o755 })
    app = await start(folder)
  })

  after(async () => {
    app?.child.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  })

  it('depends on versions that this package is tested with', async () => {
    const { dependencies } = JSON.parse(await readFile(join(EXAMPLE, 'package.json'), 'utf8'))
    const own = JSON.parse(await readFile(join(projectRoot, 'package.json'), 'utf8'))
    expect(dependencies).to.deep.equal({
      '@koa/router': own.dependencies['@koa/router'],
      koa: own.dependencies.koa,
      tokenledger: `^${own.version}`,
    })
  })

  it('has a README whose commands make, use and revoke a token', async () => {
    const readme = await readFile(join(EXAMPLE, 'README.md'), 'utf8')
    const script = /```sh\n([\s\S]*?)```/.exec(readme)?.[1]?.replace('http://127.0.0.1:4000', app.url) ?? ''
    const shell = spawn('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: folder,
      env: { ...environment(), npm_config_offline: 'true' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let printed = ''
    shell.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()))
    expect(await new Promise((resolve) => shell.once('close', resolve))).to.equal(0)
    expect(printed)
      .to.contain('The Mythical Man-Month')
      .and.to.match(/now it is 401\n$/)
  })

  it('guards its own route: who has no token, no scope, or a revoked token does not come in', async () => {
    const jwt = { Authorization: `Bearer ${jwtFor('acct_1')}` }
    const tokens = `${app.url}/settings/api-tokens`
    const create = async (scopes: string[]) => {
      const answer = await fetch(tokens, {
        method: 'POST',
        headers: { ...jwt, 'Content-Type': 'application/json' },
        body: JSON.stringify({ name: 'a test', scopes }),
      })
      expect(answer.status).to.equal(201)
      return (await answer.json()) as { id: string; token: string }
    }
    const orders = (headers: Record<string, string>) => fetch(`${app.url}/orders`, { headers })
    const { id, token } = await create(['orders:read'])

    expect((await fetch(app.url)).status).to.equal(200)
    expect((await orders({})).status).to.equal(401)
    expect((await orders({ 'X-API-Token': (await create([])).token })).status).to.equal(403)
    const used = await orders({ 'X-API-Token': token })
    expect(used.status).to.equal(200)
    expect(await used.json()).to.include({ account: 'Ada’s Books', asked_by: 'token' })
    expect((await orders({ Authorization: `Bearer ${jwtFor('acct_2')}` })).status).to.equal(401)

    expect((await fetch(`${tokens}/${id}`, { method: 'DELETE', headers: jwt })).status).to.equal(204)
    expect((await orders({ 'X-API-Token': token })).status).to.equal(401)
  })

  it('ends by itself at SIGTERM, with the uses stored', async () => {
    const headers = { Authorization: `Bearer ${jwtFor('acct_1')}` }
    app.child.kill('SIGTERM')
    expect(await app.exited).to.equal(0)
    app = await start(folder)
    const usage = await fetch(`${app.url}/settings/api-tokens/usage`, { headers })
    const { routes } = (await usage.json()) as {
      routes: { method: string; route: string; requests: number }[]
    }
    expect(routes.find(({ route }) => route === '/orders')).to.include({ method: 'GET' })
  })
})

const environment = () => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  JWT_SECRET: SECRET,
  TOKEN_PEPPERS: PEPPERS,
})

/** Resolves when it listens. */
async function start(folder: string): Promise<Running> {
  const child = spawn(process.execPath, ['app.js'], {
    cwd: folder,
    env: { ...environment(), PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const url = await new Promise<string>((resolve, reject) => {
    let printed = ''
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
      const [, found] = /listening on (\S+)\n/.exec(printed) ?? []
      if (found !== undefined) resolve(found)
    })
    void exited.then((code) => reject(new Error(`the example ended with ${code}`)))
  })
  return { url, child, exited }
}
