import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { settingsInUse } from '../../scripts/doctor/hostChecks.ts'
import { problems } from '../../src/http/problem.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { documents, namesIn, rowsUnder, textOf } from '../support/project/documents.ts'
import { machinesIn, startLedger, type TestService } from '../support/processes/ledger.ts'
import { projectRoot } from '../support/project/package.ts'
import { startStandIn } from '../support/standIn/standIn.ts'

const NO_DEFAULT = '–'

/** The tables in the documents agree with the code: no row is missing, and none is superfluous. */
describe('the table of settings', () => {
  const rows = rowsUnder('setting', textOf('docs/settings.md'))

  it('has a row for each setting', () => {
    const names = rows.map(([name = '']) => namesIn(name).join())
    expect(names).to.have.members(settingsInUse({}).map(({ name }) => name))
  })

  it('names the defaults of the code', () => {
    const defaults = readSettings({})
    for (const [cell = '', fallback = ''] of rows) {
      const name = namesIn(cell).join()
      if (fallback === NO_DEFAULT) continue
      expect(readSettings({ [name]: namesIn(fallback).join() }), name).to.deep.equal(defaults)
    }
  })

  it('says so where there is no default', () => {
    const none = rows
      .filter(([, fallback]) => fallback === NO_DEFAULT)
      .map(([name = '']) => namesIn(name).join())
    // Four settings name the one source of JWT keys, and JWT_ISSUER may, too. Without NODE_ENV it is not production.
    const expected = Object.values(readSettings({})).filter((value) => value === null || value === undefined)
    expect(none.length).to.equal(expected.length + 3 + 1)
  })
})

describe('the page of the HTTP API', () => {
  const page = textOf('docs/http-api.md')
  let service: TestService
  let operations: Operation[]
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tokenledger-'))
    const { basic: _, ...machines } = machinesIn(folder)
    service = await startLedger(machines)
    operations = operationsOf(await (await fetch(`${service.url}/openapi.json`)).json())
  })
  after(async () => {
    await service.close()
    await rm(folder, { recursive: true })
  })

  it('has a row for each route, with those who may ask and what they may ask with', () => {
    const described = rowsUnder('route', page).map(([route = '', who = '', query = '']) => ({
      route: route.startsWith('any ') ? `any ${namesIn(route).join()}` : namesIn(route).join(),
      who: who.replace(', the token itself', ', token'),
      query: namesIn(query),
    }))
    expect(described).to.have.deep.members(operations.map(({ route, who, query }) => ({ route, who, query })))
  })

  it('has a row for each code of a problem, with its status', () => {
    const described = rowsUnder('status', page).map(
      ([status, code = '']) => `${status} ${namesIn(code).join()}`,
    )
    expect(described).to.have.members(Object.entries(problems).map(([code, [status]]) => `${status} ${code}`))
  })

  it('has a row for each header that a route knows', () => {
    const described = rowsUnder('header', page).flatMap(([name = '']) => namesIn(name))
    const ofVerify = /^X-(Original|Account|Auth|Token)-/
    const known = new Set(operations.flatMap(({ headers }) => headers).filter((name) => !ofVerify.test(name)))
    expect(described).to.include.members([...known])
    for (const name of operations.flatMap(({ headers }) => headers)) expect(page).to.contain(`\`${name}\``)
  })

  it('lists the parameters of lists, of usage and of the feed', () => {
    const described = rowsUnder('parameter', page).flatMap(([name = '']) => namesIn(name))
    const asked = operations
      .filter(({ route }) => / \/settings\/api-tokens(\/usage|\/events)?$/.test(route))
      .flatMap(({ query }) => query)
    expect(described).to.have.members(asked)
  })
})

describe('the page about operating', () => {
  it('has a row for each command', async () => {
    const program = join(projectRoot, 'dist/scripts/tokenledger.js')
    const { stdout } = await promisify(execFile)(process.execPath, [program, '--help'])
    const commands = [...stdout.matchAll(/^ {2}([a-z-]+) {2,}/gm)].map(([, name]) => name)
    const rows = rowsUnder('command', textOf('docs/operating.md'))
    expect(rows.map(([name = '']) => namesIn(name).join())).to.have.members(commands)
  })
})

describe('the metrics that the documents name', () => {
  it('exist', async () => {
    const standIn = await startStandIn()
    const jwt = { issuer: 'an issuer', jwksUrl: 'http://127.0.0.1:1/' }
    const services = [
      await startLedger({ jwt, onEvent() {} }),
      await startLedger({ eventStoreUrl: standIn.url }),
    ]
    try {
      const texts = await Promise.all(services.map(({ ledger }) => ledger.metrics()))
      const existing = [...texts.join('\n').matchAll(/^# HELP (\w+)/gm)].map(([, name]) => name)
      // These are metrics of the service, which the library does not have.
      existing.push('tokenledger_log_lines_lost_total', 'tokenledger_connections')
      existing.push(
        'tokenledger_requests_waiting',
        'tokenledger_answer_bytes_unsent',
        'tokenledger_connections_cut_off',
      )
      for (const path of documents) {
        for (const [name] of textOf(path).matchAll(/\btokenledger_\w+/g)) {
          expect(existing, `${path}: ${name}`).to.include(name)
        }
      }
    } finally {
      await Promise.all(services.map((service) => service.close()))
      await standIn.kill()
    }
  })
})

interface Operation {
  route: string
  who: string
  query: string[]
  headers: string[]
}

interface Description {
  paths: Record<string, Record<string, Described>>
}

interface Described {
  security: Record<string, unknown>[]
  parameters: { name: string; in: string }[]
  responses: Record<string, { headers?: Record<string, unknown> }>
}

/** In the form of the table, where a path that takes any method has one row. */
function operationsOf(description: unknown): Operation[] {
  return Object.entries((description as Description).paths).flatMap(([path, item]) => {
    const shown = path.replace('{rest}', '*rest').replaceAll(/\{(\w+)\}/g, ':$1')
    const methods = Object.entries(item)
    const rows = methods.length === 7 ? methods.slice(0, 1).map(([, one]) => ['any', one] as const) : methods
    return rows.map(([method, { security, parameters, responses }]) => {
      const named = (where: string) => parameters.filter((one) => one.in === where).map(({ name }) => name)
      const answered = Object.values(responses).flatMap(({ headers = {} }) => Object.keys(headers))
      return {
        route: `${method === 'any' ? 'any' : method.toUpperCase()} ${shown}`,
        who: shown.startsWith('/leaks/') ? 'signed' : whoOf(security.flatMap((one) => Object.keys(one))),
        query: named('query'),
        headers: [...named('header'), ...answered],
      }
    })
  })
}

function whoOf(schemes: string[]): string {
  for (const own of ['operator', 'client']) if (schemes.includes(own)) return own
  const kinds = [schemes.includes('jwt') ? 'JWT' : '', schemes.includes('apiToken') ? 'token' : '']
  return kinds.filter((kind) => kind !== '').join(', ') || 'open'
}
