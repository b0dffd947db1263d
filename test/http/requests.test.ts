import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { jwtFor, machinesIn, startLedger, type TestService } from '../support/processes/ledger.ts'
import { projectRoot } from '../support/project/package.ts'

interface Request {
  title: string
  /** The name by which later requests refer to it. */
  name: string | undefined
  method: string
  target: string
  headers: readonly (readonly [name: string, value: string])[]
  body: string
}

interface Answer {
  headers: Headers
  body: unknown
}

describe('docs/requests.http', () => {
  let service: TestService
  let text: string
  let folder: string
  let client: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tokenledger-'))
    const { basic, ...machines } = machinesIn(folder)
    client = basic
    service = await startLedger(machines)
    text = await readFile(join(projectRoot, 'docs/requests.http'), 'utf8')
  })
  after(async () => {
    await service.close()
    await rm(folder, { recursive: true })
  })

  it('holds every route of the API, and no other', async () => {
    const asked = requestsIn(text).map(({ method, target }) => {
      const path = target.replace('{{base}}', '').replace(/\?.*$/, '')
      return { method, path: path.replace(/\{\{[^}]*\}\}/g, 'x') }
    })
    const operations = await operationsOf(service.url)
    for (const { method, path } of asked) {
      expect(
        operations.some((operation) => operation.takes(method, path)),
        `${method} ${path}`,
      ).to.equal(true)
    }
    const missing = operations.filter(({ takes }) => !asked.some(({ method, path }) => takes(method, path)))
    expect(missing.map(({ name }) => name)).to.deep.equal([])
  })

  it('can be sent from top to bottom', async () => {
    const variables = new Map(
      [...text.matchAll(/^@(\w+) = (.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
    )
    variables.set('base', service.url).set('jwt', jwtFor('acct_1'))
    variables.set('client', client)
    variables.set('operator', jwtFor('ann', { scope: 'tokenledger:operator' }))
    const answers = new Map<string, Answer>()
    for (const { title, name, method, target, headers, body } of requestsIn(text)) {
      const filled = (template: string) => fill(template, variables, answers)
      const response = await fetch(filled(target), {
        method,
        headers: headers.map(([header, value]): [string, string] => [header, filled(value)]),
        ...(body === '' ? {} : { body: filled(body) }),
      })
      const answer = await response.text()
      expect(response.status, `${title} ${answer}`).to.be.lessThan(300)
      if (name) answers.set(name, { headers: response.headers, body: JSON.parse(answer) })
    }
  })
})

function requestsIn(text: string): Request[] {
  const [, ...blocks] = text.split(/^### /m)
  return blocks.map((block) => {
    const [head = '', body = ''] = block.trim().split('\n\n')
    const [title = '', ...lines] = head.split('\n')
    const name = lines.map((line) => /^# @name (\w+)$/.exec(line)?.[1]).find((found) => found !== undefined)
    const [request = '', ...headers] = lines.filter((line) => !line.startsWith('#'))
    const [method = '', target = ''] = request.split(' ')
    const pairs = headers.map(
      (line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()] as const,
    )
    return { title, name, method, target, headers: pairs, body }
  })
}

/**
 * The value of a placeholder: a variable of the file, `$guid`, or a member of the body or a header of an earlier
 * answer.
 */
function fill(template: string, variables: Map<string, string>, answers: Map<string, Answer>): string {
  return template.replace(/\{\{(.*?)\}\}/g, (_, expression: string) => {
    if (expression === '$guid') return randomUUID()
    const [, name = '', member, header] =
      /^(\w+)\.response\.(?:body\.\$\.(\w+)|headers\.([\w-]+))$/.exec(expression) ?? []
    const answer = answers.get(name)
    const value =
      member === undefined
        ? header === undefined
          ? variables.get(expression)
          : answer?.headers.get(header)
        : (answer?.body as Record<string, string> | undefined)?.[member]
    if (typeof value !== 'string') throw new Error(`there is no ${expression}`)
    return value
  })
}

interface Operation {
  name: string
  takes(method: string, path: string): boolean
}

/** A route that takes any method is described once for each method. Here it counts once. */
async function operationsOf(url: string): Promise<Operation[]> {
  const description = (await (await fetch(`${url}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { operationId: string }>>
  }
  const found = Object.entries(description.paths).flatMap(([template, item]) =>
    Object.entries(item).map(([method, { operationId }]) => {
      const isAny = operationId.endsWith(`_${method}`)
      return { template, method: isAny ? 'any' : method.toUpperCase() }
    }),
  )
  const names = new Map(found.map((one) => [`${one.method} ${one.template}`, one]))
  const literal = Object.keys(description.paths).filter((template) => !template.includes('{'))
  return [...names].map(([name, { template, method: own }]) => {
    const pattern = new RegExp(`^${template.replace('{rest}', '.+').replace(/\{\w+\}/g, '[^/]+')}$`)
    const takesPath = (path: string) => (literal.includes(path) ? path === template : pattern.test(path))
    return { name, takes: (method, path) => (own === 'any' || own === method) && takesPath(path) }
  })
}
