import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { expect } from 'chai'
import { projectRoot, run } from '../support/package.ts'

interface Arrows {
  allowed: string[]
  refused: string[]
}

/** By the importing file. What the imports point at need not exist: the rules judge the path. */
const arrows: Record<string, Arrows> = {
  'src/domain/fixture.ts': {
    allowed: ['./events.ts', 'node:crypto', 'node:zlib', 'type json-schema-to-ts'],
    refused: [
      '../application/ports.ts',
      '../adapters/sqlite/database.ts',
      '../http/problem.ts',
      '../ledger.ts',
      '../../projections/tokens.ts',
      './../application/ports.ts',
      'type ../application/ports.ts',
      'json-schema-to-ts',
      'node:fs',
      'uuid',
      'tokenledger',
    ],
  },
  'projections/fixture.ts': {
    allowed: ['./projection.ts', '../src/domain/events.ts', 'type json-schema-to-ts'],
    refused: [
      'json-schema-to-ts',
      '../src/application/ports.ts',
      '../src/adapters/sqlite/database.ts',
      '../src/http/problem.ts',
      '../src/ledger.ts',
      '../src/domain/../ledger.ts',
      'type ../src/application/ports.ts',
      'node:crypto',
      'uuid',
    ],
  },
  'src/application/fixture.ts': {
    allowed: [
      './ports.ts',
      '../domain/events.ts',
      '../../projections/index.ts',
      'node:crypto',
      'uuid',
      'ajv',
    ],
    refused: [
      '../adapters/sqlite/database.ts',
      '../http/problem.ts',
      '../ledger.ts',
      '../settings.ts',
      'type ../adapters/sqlite/database.ts',
      'node:fs',
      'koa',
      'libsql',
    ],
  },
  'src/http/fixture.ts': {
    allowed: [
      './problem.ts',
      '../application/manage.ts',
      '../domain/errors.ts',
      '../../projections/tokens.ts',
      'node:http',
      'node:stream/promises',
      'koa',
      '@koa/router',
      'koa-body',
    ],
    refused: [
      '../adapters/telemetry/metrics.ts',
      '../ledger.ts',
      '../settings.ts',
      'type ../ledger.ts',
      '../application/../ledger.ts',
      'libsql',
      'jsonwebtoken',
    ],
  },
  'src/http/routes/fixture.ts': {
    allowed: [
      './tokens.ts',
      '../problem.ts',
      '../../application/manage.ts',
      '../../domain/errors.ts',
      '../../../projections/tokens.ts',
      'koa',
    ],
    refused: ['../../adapters/sqlite/database.ts', '../../ledger.ts', '../application/manage.ts', 'libsql'],
  },
  'src/adapters/sqlite/fixture.ts': {
    allowed: [
      './database.ts',
      '../../application/ports.ts',
      '../../application/queryPlan.ts',
      '../../application/turns.ts',
      '../../domain/events.ts',
      '../../../projections/projection.ts',
      '../../../projections/change.ts',
      'node:fs',
      'libsql',
    ],
    refused: [
      '../../application/manage.ts',
      '../../../projections/index.ts',
      '../mongodb/client.ts',
      './../jwt/verifier.ts',
      '../../http/problem.ts',
      '../../ledger.ts',
      'type ../../application/manage.ts',
      'type ../jwt/verifier.ts',
      'tokenledger',
    ],
  },
  'scripts/fixture.ts': {
    allowed: [
      './history.ts',
      '../src/ledger.ts',
      '../src/index.ts',
      '../src/reader.ts',
      '../src/serve.ts',
      '../src/settings.ts',
      '../src/http/server.ts',
      '../src/adapters/jwt/verifier.ts',
      'type ../src/application/ports.ts',
    ],
    refused: [
      '../src/application/manage.ts',
      '../src/domain/decide.ts',
      '../projections/index.ts',
      '../src/main.ts',
    ],
  },
  'scripts/attack/fixture.ts': {
    // An attack may reach for any part of the product, and is not shipped.
    allowed: ['./lab.ts', '../../src/ledger.ts', '../../test/support/service.ts'],
    refused: [],
  },
  'scripts/bench/fixture.ts': {
    // A benchmark measures parts by themselves, and is not shipped.
    allowed: [
      './seed.ts',
      '../../src/ledger.ts',
      '../../src/application/manage.ts',
      '../../projections/index.ts',
    ],
    refused: [],
  },
  'scripts/commands/fixture.ts': {
    allowed: [
      '../command.ts',
      '../../src/reader.ts',
      '../../src/devSecrets.ts',
      'type ../../src/application/asOf.ts',
    ],
    refused: ['../../src/application/asOf.ts', '../../src/domain/rules.ts', '../../src/main.ts'],
  },
  'src/reader.ts': {
    allowed: ['./application/load.ts', './adapters/sqlite/event-store.ts', '../projections/index.ts'],
    refused: [],
  },
  'src/readAhead.ts': {
    allowed: ['./application/readLog.ts', './domain/errors.ts', './stores.ts'],
    refused: [],
  },
  'src/ledger.ts': {
    allowed: [
      './application/manage.ts',
      './adapters/sqlite/database.ts',
      './http/server.ts',
      '../projections/index.ts',
    ],
    refused: [],
  },
  'src/serve.ts': {
    allowed: [
      './ledger.ts',
      './index.ts',
      './settings.ts',
      './http/server.ts',
      './adapters/telemetry/log.ts',
    ],
    refused: ['./application/manage.ts', './domain/decide.ts', '../projections/index.ts'],
  },
  'src/main.ts': {
    allowed: ['./serve.ts'],
    refused: ['./application/manage.ts', './domain/decide.ts', '../projections/index.ts'],
  },
  'src/index.ts': {
    allowed: [
      './ledger.ts',
      './settings.ts',
      'DamagedError of ./domain/errors.ts',
      'type ./application/ports.ts',
    ],
    refused: [
      './adapters/sqlite/database.ts',
      './application/manage.ts',
      './http/server.ts',
      './domain/errors.ts',
    ],
  },
  'src/settings.ts': {
    allowed: ['./domain/credential.ts', './adapters/jwt/verifier.ts', 'node:fs'],
    refused: ['./ledger.ts', './adapters/sqlite/database.ts', './application/ports.ts'],
  },
}

/** Ways of writing the same arrow. `consistent-type-imports` and the `import/` rules stand beside the path rule. */
const forms: Record<string, string> = {
  'a re-export': "export { x1 } from '../http/problem.ts'",
  'a star re-export': "export * from '../http/problem.ts'",
  'a bare import': "import '../http/problem.ts'",
  'a dynamic import': "export const later = () => import('../http/problem.ts')",
  'a computed import': 'export const computed = (name: string) => import(`../http/${name}.ts`)',
  'a type taken by import()': "export type X = import('../http/problem.ts').X",
  'a require': "export const x2 = require('../http/problem.ts')",
}

describe('import arrows', () => {
  let folder: string
  /** Codes of the rules that refused a line, by `<file>:<line>`. */
  const refusals = new Map<string, string[]>()
  const sources = new Map<string, string[]>()

  /** Writes a line into a file of the fixture. @returns where it is */
  function place(file: string, line: string): string {
    const lines = sources.get(file) ?? []
    sources.set(file, lines)
    return `${file}:${lines.push(line)}`
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'arrows-'))
    const config = JSON.parse(await readFile(join(projectRoot, '.oxlintrc.json'), 'utf8'))
    // The same rules without type information, which imports of files that are not there cannot give.
    config.options.typeAware = false
    await writeFile(join(folder, '.oxlintrc.json'), JSON.stringify(config))
    for (const [file, lines] of sources) {
      await mkdir(dirname(join(folder, file)), { recursive: true })
      await writeFile(join(folder, file), `${lines.join('\n')}\n`)
    }
    const oxlint = join(projectRoot, 'node_modules', 'oxlint', 'bin', 'oxlint')
    const { stdout } = await run(process.execPath, [oxlint, '--format', 'json'], folder)
    const report: Report = JSON.parse(stdout)
    expect(report.number_of_files).to.equal(sources.size)
    for (const { code, filename, labels } of report.diagnostics) {
      const at = `${filename}:${labels[0]?.span.line}`
      refusals.set(at, [...(refusals.get(at) ?? []), code])
    }
  })

  after(() => rm(folder, { recursive: true, force: true }))

  for (const [file, { allowed, refused }] of Object.entries(arrows)) {
    const who = basename(file) === 'fixture.ts' ? dirname(file) : file
    const targets = [...allowed, ...refused]
    const at = new Map(targets.map((target, n) => [target, place(file, importOf(target, `x${n}`))]))
    it(`${who} imports what it may, and nothing else`, () => {
      const codes = targets.map((target) => [target, refusals.get(at.get(target) ?? '')])
      expect(Object.fromEntries(codes)).to.deep.equal({
        ...Object.fromEntries(allowed.map((target) => [target, undefined])),
        ...Object.fromEntries(refused.map((target) => [target, ['eslint(no-restricted-imports)']])),
      })
    })
  }

  for (const [form, line] of Object.entries(forms)) {
    const at = place('src/domain/forms.ts', line)
    it(`${form} is seen as well`, () => expect(refusals.get(at)).to.not.equal(undefined))
  }

  const circle = [
    place('src/application/one.ts', "import { x } from './two.ts'; export const y = () => x"),
    place('src/application/two.ts', "import { y } from './one.ts'; export const x = () => y"),
  ]
  it('two files may not import each other', () => {
    for (const at of circle) expect(refusals.get(at)).to.deep.equal(['import(no-cycle)'])
  })
})

interface Report {
  diagnostics: { code: string; filename: string; labels: { span: { line: number } }[] }[]
  number_of_files: number
}

/** A target is a path, alone or behind `type ` or `<name> of `. */
function importOf(target: string, name: string): string {
  const [, type = '', imported = 'x', path] = /^(type )?(?:(\w+) of )?(.+)$/.exec(target) ?? []
  const use = type ? `export type Y${name} = ${name}` : `export const y${name} = ${name}`
  return `import ${type}{ ${imported} as ${name} } from '${path}'; ${use}`
}
