// The virtual network: one subnet that the app sends from, one for the private endpoints of storage and database.
param name string
param location string
param tags object

@description('Address ranges; the app needs a /27 at least.')
param addressPrefix string = '10.0.0.0/16'
param endpointSubnetPrefix string = '10.0.1.0/24'
param appSubnetPrefix string = '10.0.2.0/24'

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressPrefix] }
    subnets: [
      {
        name: 'private-endpoints'
        properties: {
          addressPrefix: endpointSubnetPrefix
          privateEndpointNetworkPolicies: 'Disabled'
          privateLinkServiceNetworkPolicies: 'Enabled'
        }
      }
      {
        name: 'app'
        properties: {
          addressPrefix: appSubnetPrefix
          privateEndpointNetworkPolicies: 'Disabled'
          privateLinkServiceNetworkPolicies: 'Enabled'
          // Flex Consumption runs on Container Apps, whose environments this delegation is for. The provider
          // Microsoft.App has to be registered in the subscription.
          delegations: [
            {
              name: 'flex-consumption'
              properties: { serviceName: 'Microsoft.App/environments' }
            }
          ]
        }
      }
    ]
  }
}

output id string = network.id
output endpointSubnetId string = '${network.id}/subnets/private-endpoints'
output appSubnetId string = '${network.id}/subnets/app'
