import { type ChildProcess, spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Api, apiOf, type CreatedToken } from '../support/callers/api.ts'
import { eventually } from '../support/suite/eventually.ts'
import { jwtFor } from '../support/processes/ledger.ts'
import { describeWith, PATH } from '../support/suite/needs.ts'
import { projectRoot } from '../support/project/package.ts'
import { freePort } from '../support/processes/ports.ts'
import { endServices, ownFolder, type ServiceProcess, startService } from '../support/processes/service.ts'

const portOf = (server: Server): number => (server.address() as AddressInfo).port

async function listening(server: Server): Promise<Server> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

/** The file that the README shows, with the addresses of this test. */
async function configuration(
  folder: string,
  ports: { service: string; proxy: number; app: number },
): Promise<string> {
  let shown = await readFile(join(projectRoot, 'docs/proxies/nginx.conf'), 'utf8')
  for (const [from, to] of [
    ['127.0.0.1:3000', `127.0.0.1:${ports.service}`],
    ['127.0.0.1:8080', `127.0.0.1:${ports.proxy}`],
    ['127.0.0.1:4000', `127.0.0.1:${ports.app}`],
  ] as const) {
    expect(shown.split(from), `${from} is there once`).to.have.lengthOf(2)
    shown = shown.replace(from, to)
  }
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join('\n')
  return `daemon off;\nmaster_process off;\npid ${folder}/nginx.pid;\nevents {}\nhttp {\naccess_log off;\n${temporary}\n${shown}\n}\n`
}

const required = process.env.CI === 'true'

describeWith('nginx', { argument: '-v', required }, 'behind nginx with docs/proxies/nginx.conf', () => {
  let service: ServiceProcess
  let nginx: ChildProcess | undefined
  let app: Server | undefined
  let url: string
  let api: Api
  let token: CreatedToken
  /** Headers of the requests that reached the application. */
  const reached: IncomingHttpHeaders[] = []

  before(async () => {
    app = await listening(
      createServer((request, response) => {
        reached.push(request.headers)
        response.statusCode = request.url?.startsWith('/missing') ? 404 : 200
        response.end(`the application at ${request.url}`)
      }),
    )
    service = await startService({
      USAGE_FLUSH_MS: '20',
      TRUST_PROXY_HOPS: '1',
      VERIFY_REQUEST_HEADERS: 'x-original',
    })
    const proxy = await freePort()
    const folder = await ownFolder()
    const ports = { service: new URL(service.url).port, proxy, app: portOf(app) }
    await writeFile(join(folder, 'nginx.conf'), await configuration(folder, ports))
    nginx = spawn('nginx', ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'], {
      env: { PATH },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let errors = ''
    nginx.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
    url = `http://127.0.0.1:${proxy}`
    await eventually(async () => {
      if (nginx?.exitCode !== null) throw new Error(`nginx ended: ${errors}`)
      await fetch(url)
    })
    api = apiOf(service.url)
    token = (await api.create({ name: 'through nginx', scopes: ['orders:read', 'orders:write'] })).body
  })

  beforeEach(() => void reached.splice(0))

  after(async () => {
    if (nginx?.exitCode === null) {
      const gone = new Promise((resolve) => nginx?.once('exit', resolve))
      nginx.kill('SIGTERM')
      await gone
    }
    app?.close()
    app?.closeAllConnections()
    await endServices()
  })

  it('a good token reaches the application, which is told whose it is and never sees it', async () => {
    const answer = await fetch(`${url}/orders/17?secret=1`, {
      headers: { 'x-api-token': token.token, 'x-account-id': 'acct_forged', 'x-auth-kind': 'root' },
    })
    expect(answer.status).to.equal(200)
    expect(await answer.text()).to.equal('the application at /orders/17?secret=1')
    expect(reached).to.have.lengthOf(1)
    expect(reached[0]).to.include({
      'x-account-id': 'acct_1',
      'x-auth-kind': 'token',
      'x-token-id': token.id,
      'x-token-scopes': 'orders:read orders:write',
    })
    expect(JSON.stringify(reached)).to.not.include(token.token)
  })

  it('a JWT does too, without the headers that only a token has', async () => {
    const answer = await fetch(`${url}/orders`, {
      headers: {
        authorization: `Bearer ${jwtFor('acct_2')}`,
        'x-token-id': 'forged',
        'x-token-scopes': 'forged',
      },
    })
    expect(answer.status).to.equal(200)
    expect(reached[0]).to.include({ 'x-account-id': 'acct_2', 'x-auth-kind': 'jwt' })
    expect(reached[0]).to.not.have.any.keys('x-token-id', 'x-token-scopes', 'authorization')
  })

  for (const [what, headers, error] of [
    ['no credential', {}, false],
    ['an unknown token', { 'x-api-token': 'tkl_unknown' }, true],
    ['a bad JWT', { authorization: 'Bearer e30.e30.e30' }, true],
  ] as const) {
    it(`${what} gets 401 with its challenge, and nothing reaches the application`, async () => {
      const answer = await fetch(`${url}/orders`, { headers })
      expect(answer.status).to.equal(401)
      const challenge = answer.headers.get('www-authenticate')
      expect(challenge).to.equal(`Bearer realm="tokenledger"${error ? ', error="invalid_token"' : ''}`)
      expect(reached).to.deep.equal([])
    })
  }

  it('a revoked token gets 401 from the next request on', async () => {
    const { body } = await api.create({ name: 'short-lived' })
    const use = async () => (await fetch(url, { headers: { 'x-api-token': body.token } })).status
    expect(await use()).to.equal(200)
    expect((await api.revoke(body.id)).status).to.equal(204)
    expect(await use()).to.equal(401)
  })

  it('usage has the method and the path of the original request, without its query', async () => {
    const { body } = await api.create({ name: 'counted' })
    const headers = { 'x-api-token': body.token }
    await fetch(`${url}/orders/17?card=4111`, { headers })
    await fetch(`${url}/orders/17`, { headers })
    await fetch(`${url}/orders`, { method: 'POST', body: 'x'.repeat(50_000), headers })
    await fetch(`${url}/missing`, { method: 'DELETE', headers })
    const usage = await eventually(async () => {
      const answer = await api.usage(body.id)
      expect(answer.body.total.requests).to.equal(4)
      return answer.body
    })
    expect(usage.routes).to.deep.equal([
      { method: 'GET', route: '/orders/17', requests: 2 },
      { method: 'DELETE', route: '/missing', requests: 1 },
      { method: 'POST', route: '/orders', requests: 1 },
    ])
  })

  it('an outage of the service lets nobody through', async () => {
    await service.stop()
    const answer = await fetch(`${url}/orders`, { headers: { 'x-api-token': token.token } })
    expect(answer.status).to.equal(500)
    expect(reached).to.deep.equal([])
  })
})
