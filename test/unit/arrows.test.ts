import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import { arrowsOf, roomOf } from '../support/project/arrows.ts'
import { projectRoot, run } from '../support/project/package.ts'

const useCases = [
  'analytics',
  'audit',
  'authentication',
  'delivery',
  'feed',
  'health',
  'logIdentity',
  'notices',
  'portal',
  'projection',
  'retention',
  'sharing',
  'tokenImport',
  'tokens',
  'transfer',
  'usage',
  'verification',
].map((room) => `src/application/${room}`)

/** The rooms that every use case may import. */
const base = [
  'src/application/ports',
  'src/application/eventLog',
  'src/application/readModel',
  'src/application/scheduling',
  'src/domain',
  'projections',
]

/** Use cases that may import other use cases. */
const sideways: Record<string, readonly string[]> = {
  'src/application/analytics': ['src/application/tokens'],
  'src/application/audit': ['src/application/tokens'],
  'src/application/delivery': ['type src/application/feed'],
  'src/application/notices': ['src/application/tokens'],
  'src/application/projection': ['src/application/logIdentity'],
  'src/application/tokenImport': ['src/application/tokens', 'src/application/transfer'],
  'src/application/transfer': ['src/application/retention'],
  'src/application/usage': ['type src/application/authentication'],
  'src/application/verification': ['src/application/projection'],
}

/** The rooms that every adapter may import. */
const adapter = ['src/application/ports', 'src/adapters/network', 'src/domain', 'projections']
/** How any store answers a query. */
const querying = ['src/application/readModel', 'src/application/scheduling']

/**
 * The rooms that a room may import besides itself. A name includes all rooms in it. With `type ` in front, only types
 * may be imported.
 */
const mayImport: Record<string, readonly string[]> = {
  projections: ['src/domain'],
  'src/domain': [],

  'src/application/ports': ['src/domain', 'type projections'],
  'src/application/scheduling': ['src/application/ports', 'src/domain'],
  'src/application/eventLog': [
    'src/application/ports',
    'src/application/scheduling',
    'src/domain',
    'projections',
  ],
  'src/application/readModel': [
    'src/application/ports',
    'src/application/scheduling',
    'src/domain',
    'projections',
  ],
  ...Object.fromEntries(useCases.map((room) => [room, [...base, ...(sideways[room] ?? [])]])),

  'src/presentation': ['type src/application', 'src/domain', 'type projections'],
  'src/http': ['src/application', 'src/presentation', 'src/domain', 'projections'],
  'src/http/authentication': ['src/http', 'src/application', 'src/domain', 'projections'],
  'src/http/input': ['src/http', 'src/application/ports', 'src/domain'],
  'src/http/openapi': ['src/http'],
  'src/http/page': [
    'src/http',
    'src/http/authentication',
    'src/http/input',
    'src/http/openapi',
    'src/http/routes',
    'src/application',
    'src/domain',
    // The names of the texts that a host may replace.
    'src/page/texts.ts',
  ],
  'src/http/routes': ['src/http', 'src/application', 'src/presentation', 'src/domain', 'projections'],
  'src/http/server': ['src/http'],

  'src/adapters/eventstoredb': adapter,
  'src/adapters/network': ['src/application/ports'],
  'src/adapters/jwt': adapter,
  'src/adapters/telemetry': adapter,
  'src/adapters/mongodb/database': adapter,
  'src/adapters/mongodb/documents': ['src/adapters/mongodb/database', ...adapter, ...querying],
  'src/adapters/mongodb/sharing': [
    'src/adapters/mongodb/database',
    'type src/adapters/mongodb/documents',
    ...adapter,
  ],
  'src/adapters/mongodb/rebuild': [
    'src/adapters/mongodb/database',
    'src/adapters/mongodb/documents',
    'src/adapters/mongodb/sharing',
    ...adapter,
  ],
  'src/adapters/mongodb': ['src/adapters/mongodb', ...adapter, ...querying],
  'src/adapters/sqlite/database': adapter,
  'src/adapters/sqlite/documents': ['src/adapters/sqlite/database', ...adapter, ...querying],
  'src/adapters/sqlite/log': ['src/adapters/sqlite/database', ...adapter],
  'src/adapters/sqlite/rebuild': [
    'src/adapters/sqlite/database',
    'src/adapters/sqlite/documents',
    ...adapter,
    ...querying,
  ],
  'src/adapters/sqlite': ['src/adapters/sqlite', ...adapter, ...querying],

  // Settings use the checks of keys and addresses of those adapters that use them.
  'src/settings': [
    'src/domain',
    'type src/application',
    'type src/http',
    'type src/presentation',
    'src/adapters/jwt',
    'src/adapters/network/leakKeys.ts',
    'src/adapters/eventstoredb/address.ts',
  ],
  'src/stores': ['type src/settings', 'src/adapters', 'src/application/eventLog', ...adapter],
  'src/ledger': [
    'src/application',
    'src/http',
    'src/presentation',
    'src/adapters/jwt',
    'src/adapters/network',
    'src/adapters/telemetry',
    'src/settings',
    'src/stores',
    'src/domain',
    'src/version.ts',
    'projections',
  ],
  'src/version.ts': [],
  // Runs in browsers.
  'src/page': [],
  // The service as a process.
  'src/serve.ts': ['src/ledger', 'src/http', 'src/settings', 'src/stores', 'src/adapters/telemetry'],
  'src/main.ts': ['src/serve.ts'],
  'src/index.ts': [
    'src/ledger',
    'src/settings/settings.ts',
    'src/application/ports/errors.ts',
    'src/domain/errors.ts',
    'type src',
  ],

  'scripts/tokenledger.ts': ['scripts/cli', 'scripts/commands'],
  'scripts/commands': [
    'scripts/cli',
    'scripts/doctor',
    'src/application',
    'src/presentation',
    'src/settings',
    'src/domain',
    'type projections',
    'src/stores/open.ts',
    'src/adapters/jwt',
    'src/serve.ts',
  ],
  'scripts/doctor': [
    'scripts/cli',
    'src/application',
    'src/settings',
    'src/domain',
    'type projections',
    'src/stores/open.ts',
    'src/adapters/sqlite/database',
    // Asks those who publish keys whether they do.
    'src/adapters/jwt',
    'src/adapters/network/leakKeys.ts',
  ],
  // Opens stores for the commands, as the ledger does for the service.
  'scripts/cli': [
    'src/application',
    'src/presentation',
    'src/stores',
    'src/settings',
    'src/domain',
    'projections',
    'src/adapters/network',
    'src/adapters/sqlite/database',
    'src/adapters/sqlite/log/indexes.ts',
    'src/version.ts',
  ],
  'scripts/build': [],
  // Attacks and benchmarks may use any part of the product, and are not shipped.
  'scripts/attack': ['scripts', 'src', 'projections', 'test'],
  'scripts/bench': ['scripts', 'src', 'projections', 'test'],
}

const isIn = (room: string, path: string): boolean => path === room || path.startsWith(`${room}/`)

/** Does the table allow this arrow? */
function isAllowed(from: string, to: string, isType: boolean): boolean {
  const rooms = Object.keys(mayImport)
  const room = roomOf(from, rooms)
  if (room === undefined) throw new Error(`${from} is in no room`)
  if (roomOf(to, rooms) === room) return true
  return (mayImport[room] ?? []).some((allowed) =>
    allowed.startsWith('type ') ? isType && isIn(allowed.slice(5), to) : isIn(allowed, to),
  )
}

const files = ['projections', 'src', 'scripts'].flatMap((folder) =>
  readdirSync(join(projectRoot, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`),
)
const arrows = files.flatMap((from) =>
  arrowsOf(from, readFileSync(join(projectRoot, from), 'utf8'))
    .filter(({ to }) => to.includes('/') && to.endsWith('.ts'))
    .map((arrow) => ({ from, ...arrow })),
)

/** Different ways of writing the same arrow. */
const forms: Record<string, string> = {
  'an import': "import { x } from '../http/problem.ts'",
  'an import over several lines': "import {\n  x,\n} from '../http/problem.ts'",
  'a re-export': "export { x } from '../http/problem.ts'",
  'a star re-export': "export * from '../http/problem.ts'",
  'a bare import': "import '../http/problem.ts'",
  'a dynamic import': "const later = () => import('../http/problem.ts')",
  'a type taken by import()': "type X = import('../http/problem.ts').X",
  'a require': "const x = require('../http/problem.ts')",
  'a file named for a worker': "new Worker(new URL('../http/problem.js', import.meta.url))",
}

describe('import arrows', () => {
  it('every room imports what it may, and nothing else', () => {
    const refused = arrows
      .filter(({ from, to, isType }) => !isAllowed(from, to, isType))
      .map(({ from, to, line }) => `${from}:${line} -> ${to}`)
    expect(refused).to.deep.equal([])
  })

  it('no arrow is in the table that nobody needs', () => {
    const sidewise = Object.entries(sideways).flatMap(([from, list]) =>
      list.map((to) => [from, to.replace('type ', '')]),
    )
    const idle = sidewise.filter(
      ([from = '', to = '']) => !arrows.some((arrow) => isIn(from, arrow.from) && isIn(to, arrow.to)),
    )
    expect(idle).to.deep.equal([])
  })

  it('use cases do not know each other in a circle', () => {
    const reached = (from: string, seen = new Set<string>()): Set<string> => {
      for (const to of (sideways[from] ?? []).map((one) => one.replace('type ', ''))) {
        if (!seen.has(to)) reached(to, seen.add(to))
      }
      return seen
    }
    for (const room of useCases) expect([...reached(room)]).to.not.include(room)
  })

  for (const [form, line] of Object.entries(forms)) {
    it(`${form} is seen`, () => {
      const seen = arrowsOf('src/domain/fixture.ts', line).map(({ to }) => to)
      expect(seen).to.deep.equal(['src/http/problem.ts'])
    })
  }

  it('the package by its own name is its public face', () => {
    const [arrow] = arrowsOf('src/http/fixture.ts', "import { createTokenLedger } from 'tokenledger'")
    expect(arrow?.to).to.equal('src/index.ts')
  })

  it('a type is told from a value', () => {
    const source =
      "import type { X } from './x.ts'\nexport type { Y } from './y.ts'\nimport { z } from './z.ts'"
    expect(arrowsOf('src/fixture.ts', source)).to.deep.equal([
      { to: 'src/x.ts', isType: true, line: 1 },
      { to: 'src/y.ts', isType: true, line: 2 },
      { to: 'src/z.ts', isType: false, line: 3 },
    ])
  })

  const examples: [from: string, to: string, allowed: boolean][] = [
    ['src/domain/decide.ts', 'src/application/ports/eventStore.ts', false],
    ['projections/tokens.ts', 'src/domain/events.ts', true],
    ['projections/tokens.ts', 'src/application/ports/eventStore.ts', false],
    ['src/application/ports/errors.ts', 'src/application/eventLog/append.ts', false],
    ['src/application/usage/recorder.ts', 'src/application/eventLog/append.ts', true],
    ['src/application/usage/recorder.ts', 'src/application/retention/rollUp.ts', false],
    ['src/application/tokens/manage.ts', 'src/adapters/sqlite/readModel.ts', false],
    ['src/http/problem.ts', 'src/settings/settings.ts', false],
    ['src/http/routes/verify.ts', 'src/presentation/tokens.ts', true],
    ['src/adapters/sqlite/readModel.ts', 'src/adapters/mongodb/documents/names.ts', false],
    ['src/adapters/sqlite/database/driver.ts', 'src/adapters/sqlite/log/sweep.ts', false],
    ['src/stores/open.ts', 'src/ledger/ledger.ts', false],
    ['src/main.ts', 'scripts/cli/output.ts', false],
    ['scripts/commands/report.ts', 'src/stores/readAhead.ts', false],
    ['scripts/commands/report.ts', 'src/application/analytics/report.ts', true],
  ]
  for (const [from, to, allowed] of examples) {
    it(`${from} ${allowed ? 'may' : 'may not'} import ${to}`, () =>
      expect(isAllowed(from, to, false)).to.equal(allowed))
  }
})

/** The packages that a file may import, and others that it may not, by file. */
const packages: Record<string, { allowed: string[]; refused: string[] }> = {
  'src/domain/fixture.ts': {
    allowed: ['./events.ts', 'node:crypto', 'node:zlib', 'type json-schema-to-ts'],
    refused: ['json-schema-to-ts', 'node:fs', 'uuid', 'tokenledger'],
  },
  'projections/fixture.ts': {
    allowed: ['./projection.ts', '../src/domain/events.ts', 'type json-schema-to-ts'],
    refused: ['json-schema-to-ts', 'node:crypto', 'uuid'],
  },
  'src/application/room/fixture.ts': {
    allowed: ['./sibling.ts', '../../domain/events.ts', 'node:crypto', 'node:timers/promises', 'uuid', 'ajv'],
    refused: ['node:fs', 'koa', 'libsql'],
  },
  'src/presentation/fixture.ts': {
    allowed: ['../domain/token.ts'],
    refused: ['node:fs', 'koa'],
  },
  'src/http/fixture.ts': {
    allowed: ['./problem.ts', 'node:http', 'node:stream/promises', 'koa', '@koa/router', 'koa-body', 'ajv'],
    refused: ['libsql', 'jsonwebtoken'],
  },
  'src/http/routes/fixture.ts': {
    allowed: ['../problem.ts', 'koa'],
    refused: ['libsql'],
  },
}

describe('imported packages', () => {
  let folder: string
  /** The codes of the rules that refused a line, by `<file>:<line>`. */
  const refusals = new Map<string, string[]>()
  const fixtures = new Map<string, string[]>()

  /** Writes a line into a file of the fixture. @returns where it is */
  function place(file: string, line: string): string {
    const lines = fixtures.get(file) ?? []
    fixtures.set(file, lines)
    return `${file}:${lines.push(line)}`
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'arrows-'))
    const config = JSON.parse(await readFile(join(projectRoot, '.oxlintrc.json'), 'utf8'))
    // The same rules without type information, which does not exist for imports of missing files.
    config.options.typeAware = false
    await writeFile(join(folder, '.oxlintrc.json'), JSON.stringify(config))
    for (const [file, lines] of fixtures) {
      await mkdir(dirname(join(folder, file)), { recursive: true })
      await writeFile(join(folder, file), `${lines.join('\n')}\n`)
    }
    const oxlint = join(projectRoot, 'node_modules', 'oxlint', 'bin', 'oxlint')
    const { stdout } = await run(process.execPath, [oxlint, '--format', 'json'], folder)
    const report: Report = JSON.parse(stdout)
    expect(report.number_of_files).to.equal(fixtures.size)
    for (const { code, filename, labels } of report.diagnostics) {
      const at = `${filename}:${labels[0]?.span.line}`
      refusals.set(at, [...(refusals.get(at) ?? []), code])
    }
  })

  after(() => rm(folder, { recursive: true, force: true }))

  for (const [file, { allowed, refused }] of Object.entries(packages)) {
    const targets = [...allowed, ...refused]
    const at = new Map(targets.map((target, n) => [target, place(file, importOf(target, `x${n}`))]))
    it(`${dirname(file)} uses the packages that it may, and no others`, () => {
      const codes = targets.map((target) => [target, refusals.get(at.get(target) ?? '')])
      expect(Object.fromEntries(codes)).to.deep.equal({
        ...Object.fromEntries(allowed.map((target) => [target, undefined])),
        ...Object.fromEntries(refused.map((target) => [target, ['eslint(no-restricted-imports)']])),
      })
    })
  }

  const computed = place(
    'src/domain/forms.ts',
    'export const later = (name: string) => import(`../${name}.ts`)',
  )
  it('an import is not computed', () => expect(refusals.get(computed)).to.not.equal(undefined))

  const circle = [
    place('src/application/one.ts', "import { x } from './two.ts'; export const y = () => x"),
    place('src/application/two.ts', "import { y } from './one.ts'; export const x = () => y"),
  ]
  it('two files may not import each other', () => {
    for (const at of circle) expect(refusals.get(at)).to.deep.equal(['import(no-cycle)'])
  })

  const ofTypes = [
    place('src/application/three.ts', "import type { X } from './four.ts'; export type Y = X | null"),
    place('src/application/four.ts', "import type { Y } from './three.ts'; export type X = Y[]"),
  ]
  it('nor each other’s types', () => {
    for (const at of ofTypes) expect(refusals.get(at)).to.deep.equal(['import(no-cycle)'])
  })
})

interface Report {
  diagnostics: { code: string; filename: string; labels: { span: { line: number } }[] }[]
  number_of_files: number
}

/** A target is a path, alone or behind `type `. */
function importOf(target: string, name: string): string {
  const [, type = '', path] = /^(type )?(.+)$/.exec(target) ?? []
  const use = type ? `export type Y${name} = ${name}` : `export const y${name} = ${name}`
  return `import ${type}{ x as ${name} } from '${path}'; ${use}`
}
