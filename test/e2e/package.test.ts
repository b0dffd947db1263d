import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { expect } from 'chai'
import jwt from 'jsonwebtoken'
import { consumerFiles } from '../support/project/consumer.ts'
import { PAGE_FILES } from '../../src/http/page/files.ts'
import { type Ended, outsideEnvironment, projectRoot, run } from '../support/project/package.ts'
import { endServices, startService } from '../support/processes/service.ts'

const JWT_SECRET = randomBytes(32).toString('hex')
const APP_PEPPER = randomBytes(32).toString('base64')

const PAPERS = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'CONTRIBUTING.md']

const VIEWER = [
  'dist/viewer/LICENSE',
  'dist/viewer/NOTICE',
  'dist/viewer/swagger-ui-bundle.js',
  'dist/viewer/swagger-ui-bundle.js.LICENSE.txt',
  'dist/viewer/swagger-ui.css',
]

const PAGE = ['lit.LICENSE.txt', ...PAGE_FILES].map((name) => `dist/page/${name}`)

/** The package as a user gets it: packed, installed in an empty folder, compiled against, and run. */
describe('the package', function () {
  this.timeout(180_000)
  let folder: string
  let installed: string
  let packed: string[]
  let app: ChildProcess | undefined

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'stranger-'))
    installed = join(folder, 'node_modules', 'tokenledger')
    // The build exists already. `prepare` would overwrite it while other tests run from it.
    const pack = succeeded(
      await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], projectRoot),
    )
    const { filename, files } = packResult(pack.stdout)
    packed = files
    for (const [name, text] of Object.entries(consumerFiles)) await writeFile(join(folder, name), text)
    const { dependencies, devDependencies } = JSON.parse(
      await readFile(join(projectRoot, 'package.json'), 'utf8'),
    )
    const versioned = (name: string) => `${name}@${dependencies[name] ?? devDependencies[name]}`
    // Install scripts are switched off, since nothing that the package needs may depend on one.
    const install = ['install', '--ignore-scripts', '--no-audit', '--no-fund', `./${filename}`]
    const beside = ['koa', '@types/koa', '@types/node', 'typescript'].map(versioned)
    succeeded(await run('npm', [...install, ...beside], folder))
  })

  after(async () => {
    app?.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  })

  it('holds the compiled library, the viewer, the page, the docs and their papers, and nothing of the workshop', () => {
    expect(packed).to.include.members([
      ...PAPERS,
      'docs/running.md',
      'docs/examples/orders/app.js',
      'dist/src/index.js',
      'dist/src/index.d.ts',
      ...VIEWER,
      ...PAGE,
    ])
    const strange = packed.filter(
      (path) => ![...PAPERS, ...VIEWER, ...PAGE].includes(path) && !isCode(path) && !path.startsWith('docs/'),
    )
    expect(strange).to.deep.equal([])
  })

  it('says where it comes from, and where to complain', async () => {
    const { repository, homepage, bugs, keywords, license } = JSON.parse(
      await readFile(join(installed, 'package.json'), 'utf8'),
    )
    expect(repository.url).to.match(/^git\+https:/)
    for (const url of [homepage, bugs.url ?? bugs]) expect(url).to.match(/^https:/)
    expect(keywords).to.include('api-token')
    expect(license).to.equal('MIT')
  })

  it('has no source map that points nowhere', async () => {
    const nowhere: string[] = []
    for (const path of packed.filter((name) => /\.(js|d\.ts)$/.test(name))) {
      const text = await readFile(join(installed, path), 'utf8')
      const map = /^\/\/# sourceMappingURL=(.+)$/m.exec(text)?.[1]
      if (map !== undefined && !packed.includes(join(dirname(path), map))) nowhere.push(path)
    }
    for (const path of packed.filter((name) => name.endsWith('.map'))) {
      const { sources, sourcesContent } = JSON.parse(await readFile(join(installed, path), 'utf8'))
      for (const [n, source] of (sources as string[]).entries()) {
        const there = existsSync(resolve(installed, dirname(path), source))
        if (!there && typeof sourcesContent?.[n] !== 'string') nowhere.push(path)
      }
    }
    expect(nowhere).to.deep.equal([])
  })

  it('needs no package that it does not name', async () => {
    const { dependencies } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
    const missing = new Set<string>()
    for (const path of packed.filter((name) => /^dist\/.*\.(js|d\.ts)$/.test(name))) {
      const text = await readFile(join(installed, path), 'utf8')
      for (const [, name] of text.matchAll(
        /\bfrom ['"]((?:@[\w.-]+\/)?[\w-][\w.-]*)(?:\/[^'"]*)?['"];?$/gm,
      )) {
        if (name !== undefined && !(name in dependencies)) missing.add(`${path}: ${name}`)
      }
    }
    expect([...missing]).to.deep.equal([])
  })

  it('brings no package that reports its installation, though the viewer’s own would', () => {
    expect(existsSync(join(folder, 'node_modules', '@scarf'))).to.be.false
    expect(existsSync(join(folder, 'node_modules', 'swagger-ui-dist'))).to.be.false
  })

  it('is typed for a strict project that checks declarations too', async () => {
    succeeded(
      await run(process.execPath, [join('node_modules', 'typescript', 'bin', 'tsc'), '-p', '.'], folder),
    )
  })

  it('guards a route: 401 without a token, 403 without the scope, 200 with a token made over HTTP', async () => {
    const env = { ...outsideEnvironment(), APP_JWT_SECRET: JWT_SECRET, APP_PEPPER }
    app = spawn(process.execPath, [join('out', 'app.js')], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const url = `http://127.0.0.1:${await portOf(app)}`
    const bearer = { Authorization: `Bearer ${jwt.sign({ sub: 'acct_1' }, JWT_SECRET, { expiresIn: 60 })}` }
    const create = async (body: object): Promise<string> => {
      const answer = await fetch(`${url}/settings/api-tokens`, {
        method: 'POST',
        headers: { ...bearer, 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      })
      expect(answer.status).to.equal(201)
      return ((await answer.json()) as { token: string }).token
    }
    const orders = (headers: Record<string, string>) => fetch(`${url}/orders`, { headers })

    for (const path of ['/docs', '/docs/swagger-ui-bundle.js', '/docs/swagger-ui.css', '/openapi.json']) {
      expect((await fetch(url + path)).status, path).to.equal(200)
    }

    const anonymous = await orders({})
    expect(anonymous.status).to.equal(401)
    expect(anonymous.headers.get('www-authenticate')).to.match(/^Bearer /)

    const unscoped = await orders({ 'X-API-Token': await create({ name: 'no scope' }) })
    expect(unscoped.status).to.equal(403)

    const token = await create({ name: 'reader', scopes: ['orders:read'] })
    const answer = await orders({ 'X-API-Token': token })
    expect(answer.status).to.equal(200)
    const seen = (await answer.json()) as { principal: Record<string, unknown>; account: unknown }
    expect(seen.principal).to.include({ kind: 'token', accountId: 'acct_1' })
    expect(seen.principal['scopes']).to.deep.equal(['orders:read'])
    expect(seen.account).to.deep.equal({ id: 'acct_1', plan: 'pro' })

    const whoIs = async (candidate: string) =>
      (await fetch(`${url}/who-is`, { headers: { 'X-Candidate': candidate } })).json()
    expect(await whoIs(token)).to.deep.equal({ accountId: 'acct_1', kind: 'token' })
    expect(await whoIs(`${token.slice(0, -1)}_`)).to.deep.equal({ accountId: null, kind: null })
  })

  it('lets the process end by itself after close()', async () => {
    if (!app) throw new Error('the app never started')
    const ended = once(app, 'exit')
    app.kill('SIGTERM')
    expect(await ended).to.deep.equal([0, null])
  })

  it('starts the service by a command, which SIGTERM stops in order', async () => {
    const command = [join(folder, 'node_modules', '.bin', 'tokenledger'), 'serve']
    try {
      const service = await startService({}, undefined, command)
      expect((await fetch(`${service.url}/health/ready`)).status).to.equal(200)
      expect((await fetch(`${service.url}/docs`)).status).to.equal(200)
      expect(await service.stop()).to.equal(0)
      expect(service.output()).to.contain('"msg":"stopped"')
    } finally {
      await endServices()
    }
  })

  it('brings the command line', async () => {
    const help = succeeded(await run('npx', ['--no-install', 'tokenledger', '--help'], folder))
    for (const command of ['serve', 'jwt', 'history', 'usage', 'doctor']) {
      expect(help.stdout).to.match(new RegExp(`\\b${command}\\b`))
    }
  })
})

const isCode = (path: string): boolean =>
  /^dist\/(src|projections|scripts)\/.+\.(js|js\.map|d\.ts)$/.test(path) &&
  !/\/(attack|bench|build)\/|\.test\./.test(path)

function succeeded(ended: Ended): Ended {
  expect(ended.code, ended.stdout + ended.stderr).to.equal(0)
  return ended
}

/** npm 11 prints a list of packages, and npm 12 an object by name. */
function packResult(json: string): { filename: string; files: string[] } {
  const [result] = Object.values(
    JSON.parse(json) as Record<string, { filename: string; files: { path: string }[] }>,
  )
  if (!result) throw new Error('npm packed nothing')
  return { filename: result.filename, files: result.files.map((file) => file.path) }
}

async function portOf(child: ChildProcess): Promise<number> {
  if (!child.stdout) throw new Error('no output to read')
  for await (const line of createInterface({ input: child.stdout })) {
    const port = /^port (\d+)$/.exec(line)?.[1]
    if (port === undefined) continue
    // Its later output is not read, and must not fill the pipe.
    child.stdout.resume()
    return Number(port)
  }
  throw new Error('the app ended before it listened')
}
