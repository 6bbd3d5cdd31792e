/** OpenTelemetry: a span per session and per statement over OTLP, and the Prometheus page. Imported only when configured. */
import { type Attributes, context, metrics, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { NodeSDK } from '@opentelemetry/sdk-node'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { CUT_BUCKETS_MS, type Counters, type SessionWatcher } from './counters.ts'
import type { OutcomeRecord, StatementRecord } from './model/event.ts'

const SCOPE = 'sallyport'

export type Tracing = SessionWatcher & { close(): Promise<void> }

/** @param url of an OTLP/HTTP collector, `http://127.0.0.1:4318/v1/traces`. */
export function startTracing(url: string, serviceName: string): Tracing {
  const sdk = new NodeSDK({
    serviceName,
    instrumentations: [],
    autoDetectResources: false,
    traceExporter: new OTLPTraceExporter({ url }),
    metricReaders: [],
  })
  sdk.start()
  const tracer = trace.getTracer(SCOPE)
  return {
    opened(start) {
      const span = tracer.startSpan(`${start.protocol}.session`, {
        kind: SpanKind.SERVER,
        attributes: {
          'session.id': start.id,
          'enduser.id': start.username,
          'sallyport.target': start.target,
          'sallyport.role': start.role,
          'sallyport.grant': start.grant,
          'client.address': start.clientAddress,
        },
      })
      const parent = trace.setSpan(context.active(), span)
      const open = new Map<number, ReturnType<typeof tracer.startSpan>>()
      return {
        statement(json) {
          const { n, kind, verdict, fingerprint } = JSON.parse(json) as StatementRecord
          const attributes: Attributes = { 'sallyport.verdict': verdict.decision }
          if (fingerprint !== undefined) attributes['db.query.fingerprint'] = fingerprint
          const child = tracer.startSpan(`${kind} statement`, { attributes }, parent)
          if (verdict.decision === 'allow') open.set(n, child)
          else child.setStatus({ code: SpanStatusCode.ERROR, message: verdict.decision }).end()
        },
        outcome(json) {
          const { n, result } = JSON.parse(json) as OutcomeRecord
          const child = open.get(n)
          if (result !== 'done') child?.setStatus({ code: SpanStatusCode.ERROR, message: result })
          child?.end()
          open.delete(n)
        },
        ended(cause) {
          for (const child of open.values()) child.end()
          span.setAttribute('sallyport.end', cause).end()
        },
      }
    },
    close: () => sdk.shutdown().catch(() => undefined),
  }
}

/** Numbers that only the supervisor knows. Ages in seconds. */
export type GatewayNumbers = {
  readonly counters: Counters
  readonly workers: number
  readonly workerRestarts: number
  readonly journalBacklogBytes: number
  readonly journalOldestSeconds: number
  readonly auditReachable: boolean
}

export type Metrics = { page(request: IncomingMessage, response: ServerResponse): void; close(): Promise<void> }

/** `read` is called once per scrape. */
export function startMetrics(read: () => GatewayNumbers): Metrics {
  const exporter = new PrometheusExporter({ preventServerStart: true })
  const sdk = new NodeSDK({
    serviceName: SCOPE,
    instrumentations: [],
    autoDetectResources: false,
    metricReaders: [exporter],
    spanProcessors: [],
  })
  sdk.start()
  const meter = metrics.getMeter(SCOPE)
  const up = (name: string, description: string, value: (n: GatewayNumbers) => number) =>
    meter.createObservableCounter(name, { description }).addCallback((o) => o.observe(value(read())))
  const gauge = (name: string, description: string, value: (n: GatewayNumbers) => number) =>
    meter.createObservableGauge(name, { description }).addCallback((o) => o.observe(value(read())))
  meter
    .createObservableGauge('sallyport_sessions_open', { description: 'Sessions that are open now' })
    .addCallback((o) => each(read().counters.sessionsOpen, (protocol, n) => o.observe(n, { protocol })))
  meter
    .createObservableCounter('sallyport_sessions_total', { description: 'Sessions that were opened' })
    .addCallback((o) => each(read().counters.sessionsTotal, (protocol, n) => o.observe(n, { protocol })))
  meter
    .createObservableCounter('sallyport_verdicts_total', { description: 'Statements judged, by verdict' })
    .addCallback((o) => each(read().counters.verdicts, (decision, n) => o.observe(n, { decision })))
  meter
    .createObservableCounter('sallyport_bytes_total', { description: 'Bytes recorded, by origin' })
    .addCallback((o) => each(read().counters.bytes, (origin, n) => o.observe(n, { origin })))
  // A histogram whose buckets the workers keep: cumulative, and named as Prometheus wants them (a counter would be named …_total).
  meter
    .createObservableGauge('sallyport_revoke_to_cut_ms_bucket', {
      description: 'From the end of a grant to the closed session',
    })
    .addCallback((o) => {
      let sum = 0
      read().counters.cutBuckets.forEach((n, i) => {
        sum += n
        o.observe(sum, { le: i < CUT_BUCKETS_MS.length ? String(CUT_BUCKETS_MS[i]) : '+Inf' })
      })
    })
  up('sallyport_alerts_total', 'Lines of full shells that raised an alarm', (n) => n.counters.alerts)
  gauge('sallyport_revoke_to_cut_ms_count', 'Sessions that were cut', (n) => n.counters.cuts)
  gauge('sallyport_revoke_to_cut_ms_sum', 'Sum of the milliseconds from end to cut', (n) => n.counters.cutSumMs)
  gauge('sallyport_workers', 'Workers that serve now', (n) => n.workers)
  up('sallyport_worker_restarts_total', 'Workers that died or were killed by the watchdog', (n) => n.workerRestarts)
  gauge(
    'sallyport_journal_backlog_bytes',
    'Journal bytes that ClickHouse has not acknowledged',
    (n) => n.journalBacklogBytes,
  )
  gauge('sallyport_journal_oldest_seconds', 'Age of the oldest such byte', (n) => n.journalOldestSeconds)
  gauge('sallyport_audit_reachable', '1 while ClickHouse answers', (n) => (n.auditReachable ? 1 : 0))
  return {
    page: (request, response) => exporter.getMetricsRequestHandler(request, response),
    close: () => sdk.shutdown().catch(() => undefined),
  }
}

function each(record: Readonly<Record<string, number>>, observe: (key: string, n: number) => void): void {
  for (const [key, n] of Object.entries(record)) observe(key, n)
}
