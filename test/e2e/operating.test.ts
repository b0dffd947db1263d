import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { parse, parseAllDocuments } from 'yaml'
import { settingNames } from '../../src/settings/names.ts'
import { startLedger, type TestService } from '../support/processes/ledger.ts'
import { textOf } from '../support/project/documents.ts'
import { projectRoot } from '../support/project/package.ts'
import { describeWith, PATH } from '../support/suite/needs.ts'

const ALERTS = 'docs/operating/alerts.yml'
const isCi = process.env.CI === 'true'

interface Rule {
  alert: string
  expr: string
  annotations: { runbook: string }
}

describe('docs/operating/alerts.yml', () => {
  const { rules } = (parse(textOf(ALERTS)) as { groups: { rules: Rule[] }[] }).groups[0] ?? { rules: [] }
  let service: TestService
  before(async () => {
    // As the log of the service does, it knows how many lines it could not write.
    const quiet = { debug() {}, info() {}, warn() {}, error() {} }
    service = await startLedger({ log: { ...quiet, linesLost: () => 0, bytesWaiting: () => 0 } })
  })
  after(() => service.close())

  it('asks for metrics that there are', async () => {
    const metrics = await service.ledger.metrics()
    const asked = new Set(rules.flatMap(({ expr }) => expr.match(/tokenledger_\w+/g) ?? []))
    expect(asked.size).to.be.greaterThan(8)
    for (const name of asked) expect(metrics, name).to.contain(`# TYPE ${name.replace(/_count$/, '')} `)
  })

  it('names chapters that there are', () => {
    for (const { alert, annotations } of rules) {
      const [path = '', anchor] = annotations.runbook.split('#')
      const headings = [...textOf(path).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replace(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      )
      if (anchor !== undefined) expect(headings, alert).to.include(anchor)
    }
  })

  describeWith(
    'promtool',
    { argument: '--version', required: isCi, remedy: 'apt-get install prometheus' },
    'by promtool',
    () => {
      it('is sound', async () => {
        const file = join(projectRoot, ALERTS)
        const { stdout } = await promisify(execFile)('promtool', ['check', 'rules', file], { env: { PATH } })
        expect(stdout).to.contain(`SUCCESS: ${rules.length} rules found`)
      })
    },
  )
})

describe('the examples of a deployment', () => {
  const files = ['docs/operating/kubernetes.yml', 'docs/operating/tokenledger.service']

  it('name settings that there are, and the program that there is', () => {
    for (const file of files) {
      const text = textOf(file)
      const own = [...text.matchAll(/name: ([A-Z_]+),|^Environment=([A-Z_]+)=/gm)].map(
        ([, a, b]) => a ?? b ?? '',
      )
      expect(own.length).to.be.greaterThan(0)
      expect([...settingNames(), 'NODE_ENV'], file).to.include.members(own)
      expect(text).to.contain('dist/src/main.js')
    }
  })

  it('are sound YAML, where they are YAML', () => {
    const documents = parseAllDocuments(textOf(files[0] ?? ''))
    expect(documents.map((document) => (document.toJS() as { kind: string }).kind)).to.deep.equal([
      'Deployment',
      'Service',
      'PodDisruptionBudget',
    ])
  })
})
