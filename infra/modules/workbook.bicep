// A page in Azure Monitor about calls: what became of them, how fast, and what to do about the last that failed.
// The queries are files of their own, like those of the alerts.
param location string
param tags object
param workspaceId string

var explanation = 'Calls, by the lines that the app writes. What each value means: docs/operations.md. The objective: 99.9 % of calls have their first push within 2 s of the event.'

var charts = [
  {
    name: 'calls'
    title: 'Calls: rung, missed, failed'
    visualization: 'barchart'
    query: loadTextContent('../workbook/calls.kql')
  }
  {
    name: 'time-to-first-push'
    title: 'From the event to the first push, in milliseconds'
    visualization: 'timechart'
    query: loadTextContent('../workbook/time-to-first-push.kql')
  }
  {
    name: 'time-to-ring'
    title: 'From the event to the ring, as phones report it, in milliseconds'
    visualization: 'timechart'
    query: loadTextContent('../workbook/time-to-ring.kql')
  }
  {
    name: 'objective'
    title: 'The objective, by days: share in time, and error budget used'
    visualization: 'table'
    query: loadTextContent('../workbook/objective.kql')
  }
  {
    name: 'failed-calls'
    title: 'The last calls that did not ring as they should, and what to do'
    visualization: 'table'
    query: loadTextContent('../workbook/failed-calls.kql')
  }
  {
    name: 'outcomes'
    title: 'What became of pushes'
    visualization: 'piechart'
    query: loadTextContent('../workbook/outcomes.kql')
  }
  {
    name: 'outcomes-by-platform'
    title: 'What became of pushes, by platform and hub'
    visualization: 'table'
    query: loadTextContent('../workbook/outcomes-by-platform.kql')
  }
  {
    name: 'retries'
    title: 'Repeated sends and repeated deliveries'
    visualization: 'timechart'
    query: loadTextContent('../workbook/retries.kql')
  }
  {
    name: 'dead-devices'
    title: 'Devices that are gone'
    visualization: 'timechart'
    query: loadTextContent('../workbook/dead-devices.kql')
  }
]

var introduction = [
  {
    type: 1
    name: 'explanation'
    content: { json: explanation }
  }
  {
    type: 9
    name: 'time-range'
    content: {
      version: 'KqlParameterItem/1.0'
      style: 'pills'
      queryType: 0
      resourceType: 'microsoft.operationalinsights/workspaces'
      parameters: [
        {
          id: guid(workspaceId, 'TimeRange')
          version: 'KqlParameterItem/1.0'
          name: 'TimeRange'
          label: 'Time range'
          type: 4
          isRequired: true
          value: { durationMs: 86400000 }
          typeSettings: {
            selectableValues: [
              { durationMs: 3600000 }
              { durationMs: 14400000 }
              { durationMs: 86400000 }
              { durationMs: 604800000 }
              { durationMs: 2592000000 }
            ]
            allowCustom: true
          }
        }
      ]
    }
  }
]

var queries = [
  for chart in charts: {
    type: 3
    name: chart.name
    content: {
      version: 'KqlItem/1.0'
      title: chart.title
      query: chart.query
      size: 0
      timeContextFromParameter: 'TimeRange'
      queryType: 0
      resourceType: 'microsoft.operationalinsights/workspaces'
      visualization: chart.visualization
    }
  }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(workspaceId, 'acs-call-push')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Calls that ring'
    category: 'workbook'
    sourceId: workspaceId
    version: '1.0'
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat(introduction, queries)
      fallbackResourceIds: [workspaceId]
      '$schema': 'https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json'
    })
  }
}
